// The tab is in the URL: back works, a reload keeps it, keys 1 to 6 change it.
import { batch } from "@preact/signals";
import { BASE, path } from "../lib/base.js";
import { session, tab } from "../lib/store.js";

export const TABS = [
  { key: "dashboard", path: "/dashboard", title: "Dashboard", short: "Home" },
  { key: "charts", path: "/charts", title: "Charts", short: "Charts" },
  { key: "fno", path: "/fno", title: "F&O Strategy", short: "F&O" },
  { key: "btst", path: "/btst", title: "BTST Intelligence", short: "BTST" },
  { key: "portfolio", path: "/portfolio", title: "Portfolio", short: "Portfolio" },
  { key: "system", path: "/system", title: "System", short: "System" },
];

const show = (item) => {
  tab.value = item.key;
  document.title = `${item.title} · ${session.peek()?.engine.name ?? ""} · Trading Engine`;
};

/** Follow the address. */
export function followLocation() {
  show(TABS.find((item) => item.path === path()) ?? TABS[0]);
}

/** Open a tab; a click with a modifier stays the browser's. */
export function go(event, item) {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.button) return;
  event.preventDefault();
  open(item);
}

export function open(item) {
  batch(() => {
    if (path() !== item.path) history.pushState(null, "", BASE + item.path);
    show(item);
  });
  document.getElementById("main")?.scrollTo?.(0, 0);
}

/** Whether a key press belongs to a field or a menu and not to the page. */
export const inField = (event) =>
  Boolean(
    event.target.closest?.("input, select, textarea, [contenteditable], [role=combobox], [role=listbox], [popover]"),
  );

export function startRouter() {
  followLocation();
  addEventListener("popstate", followLocation);
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || inField(event)) return;
    const item = TABS[Number(event.key) - 1];
    if (item) {
      event.preventDefault();
      open(item);
    }
  });
}
