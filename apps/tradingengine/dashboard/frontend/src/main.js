// Starts the page: first data out of the document, one WebSocket, and the six tabs.
import { effect } from "@preact/signals";
import { render } from "preact";
import { load, loadQuotes } from "./lib/api.js";
import { html } from "./lib/html.js";
import { connect } from "./lib/socket.js";
import {
  chosen,
  exiting,
  hearClock,
  keyOf,
  now,
  positions,
  put,
  putQuotes,
  resources,
  serverNow,
  session,
  tab,
  tick,
  ticketSymbol,
  wanted,
} from "./lib/store.js";
import { Btst } from "./tabs/btst.js";
import { Charts } from "./tabs/charts.js";
import { Dashboard } from "./tabs/dashboard.js";
import { Fno } from "./tabs/fno.js";
import { Portfolio } from "./tabs/portfolio.js";
import { System } from "./tabs/system.js";
import { Frame } from "./ui/frame.js";
import { inField, startRouter } from "./ui/router.js";
import { fillTicket, takeUp } from "./ui/ticket.js";

const TICK_MS = 250;
const PAGES = { dashboard: Dashboard, charts: Charts, fno: Fno, btst: Btst, portfolio: Portfolio, system: System };

function readFirstData() {
  const first = JSON.parse(document.getElementById("first-data").textContent);
  hearClock(Date.parse(first.at));
  session.value = { user: first.user, engine: first.engine, release: first.release, slot: first.slot };
  const { quotes, ...parts } = first.parts;
  for (const [name, data] of Object.entries(parts)) if (resources[name]) put(name, data);
  if (quotes) putQuotes(quotes.items);
}

/** B, S and X act on the chosen row, up and down choose. */
function onKey(event) {
  if (tab.peek() !== "dashboard" || event.ctrlKey || event.metaKey || event.altKey || inField(event)) return;
  const open = (positions.peek().data?.items ?? []).filter((item) => item.quantity !== 0);
  const index = open.findIndex((item) => keyOf(item) === chosen.peek());
  const pressed = event.key.toLowerCase();
  if (pressed === "arrowdown" || pressed === "arrowup") {
    if (!open.length) return;
    const next = index < 0 ? 0 : Math.min(open.length - 1, Math.max(0, index + (pressed === "arrowdown" ? 1 : -1)));
    chosen.value = keyOf(open[next]);
  } else if (pressed === "x" && index >= 0) exiting.value = chosen.peek();
  else if (pressed === "b" || pressed === "s") {
    const side = pressed === "b" ? "BUY" : "SELL";
    if (index >= 0) fillTicket({ symbol: open[index].symbol, side });
    else document.querySelector(`.ticket .sides .${side.toLowerCase()}`)?.click();
    if (index < 0) document.querySelector(".ticket .search input, .ticket [name=quantity]")?.focus();
  } else return;
  event.preventDefault();
}

const App = () => html`<${Frame}><${PAGES[tab.value]} /><//>`;

readFirstData();
takeUp();
startRouter();
addEventListener("keydown", onKey);
setInterval(tick, TICK_MS);
now.value = serverNow();
const root = document.getElementById("app");
root.textContent = "";
render(html`<${App} />`, root);
for (const name of ["status", "summary", "positions", "orders", "alerts", "instruments"])
  if (resources[name].peek().data === null) load(name);
loadQuotes(wanted.peek());
connect();
// The ticket starts on a share that can be traded, without a quantity.
const stop = effect(() => {
  const first = (resources.instruments.value.data?.items ?? []).find((item) => item.tradable);
  if (!first) return;
  if (!ticketSymbol.peek()) fillTicket({ symbol: first.symbol }, false);
  queueMicrotask(() => stop());
});
