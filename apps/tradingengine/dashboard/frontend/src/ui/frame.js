// What every tab shares: mode edge, top bar, bars of trouble, rail.
import { useEffect } from "preact/hooks";
import { call, load, reload } from "../lib/api.js";
import { BASE } from "../lib/base.js";
import * as format from "../lib/format.js";
import { html } from "../lib/html.js";
import {
  alerts,
  dayPnl,
  edge,
  feed,
  halt,
  halted,
  indices,
  link,
  live,
  mode,
  now,
  outdated,
  session,
  status,
  summary,
  tab,
  toast,
} from "../lib/store.js";
import { HaltBar, HaltButton } from "./halt.js";
import { Icon } from "./icons.js";
import { ChangePercent, Last, Meter } from "./price.js";
import { go, TABS } from "./router.js";
import { Settings } from "./settings.js";

const SEGMENTS = { NSE_EQ: "Cash", NSE_FO: "F&O", MCX: "MCX", BSE_EQ: "BSE", BSE_FO: "BSE F&O" };
export const segmentName = (segment) => SEGMENTS[segment] ?? segment;

/** Market time now: what the feed told, moved on by its own speed. */
export function marketNow() {
  const { data, at } = status.value;
  const told = format.epoch(data?.market?.market_time);
  if (told === null) return null;
  return told + Math.max(0, now.value - at) * (Number(data.market.speed) || 1);
}

const sessionText = ({ segment, state, until }, at) => {
  const name = segmentName(segment);
  const when = until ? format.marketDayTime(until, at ?? format.epoch(until)) : "";
  if (state === "open") return `${name} open${when ? ` to ${when}` : ""}`;
  if (state === "preopen") return `${name} pre-open${when ? ` to ${when}` : ""}`;
  return state === "closed" ? `${name} closed${when ? `, opens ${when}` : ""}` : `${name} unknown`;
};
export const sessionsText = () =>
  (status.value.data?.market.sessions ?? []).map((item) => sessionText(item, marketNow())).join(" · ");

function Clock() {
  const market = status.value.data?.market;
  const at = marketNow();
  if (!market) return html`<span class="clock num">${format.wallTime(now.value)} IST</span>`;
  const speed = Number(market.speed ?? 1);
  if (market.source === "broker")
    return html`<span class="clock num"><b>${format.marketTime(now.value)}</b> IST</span>`;
  const word = market.source === "replay" ? "REPLAY" : "SIMULATED";
  return html`<span
    class="clock num"
    title="These prices are not real. Market time of the tape; now it is ${format.wallTime(now.value)}."
  >
    <b>${word}</b>
    ${speed !== 1 && html`<span class="muted speed">×${speed}</span>`}
    <b class="tape"><span class="tape-date">${at === null ? "" : format.date(at)} </span>${format.marketTime(at)}</b>
    <abbr class="muted" title="market time">MT</abbr>
  </span>`;
}

const Index = ({ item }) =>
  html`<span class="index">
    <span class="index-name">${item.name}</span> <b class="num"><${Last} symbol=${item.symbol} /></b> <${ChangePercent}
      symbol=${item.symbol}
    />
  </span>`;

export const IndexStrip = ({ class: extra = "" }) =>
  html`<div class="indices ${extra}" tabindex="0" role="group" aria-label="Indices">
    ${indices.value.slice(0, 4).map((item) => html`<${Index} key=${item.symbol} item=${item} />`)}
  </div>`;

function DayPnl() {
  const value = dayPnl.value;
  const pnl = summary.value.data?.pnl;
  const limit = Number(pnl?.loss_limit ?? 0);
  const used = value !== null && value < 0 ? -value : 0;
  return html`<div
    class="day"
    title="P&L today against the daily loss limit of ${format.rupees(limit, { decimals: 0 })}"
  >
    <span class="day-name">Day P&L</span>
    <b class="num ${format.tone(value)}">${format.rupees(value, { plus: true })}</b>
    <span class="muted num">${pnl?.percent != null ? format.percent(pnl.percent) : ""}</span>
    <${Meter} value=${used} limit=${limit} label="Daily loss used" tone=${used ? "" : "calm"} />
  </div>`;
}

const DOTS = { live: "ok", aged: "warned", stale: "bad", unknown: "off" };
const Chip = ({ kind, name, children, title }) =>
  html`<span class="chip" data-kind=${kind} title=${title}>
    <i class="dot ${kind}" aria-hidden="true"></i>
    <span class="chip-name">${name}</span> <span class="num">${children}</span>
  </span>`;

function FeedChip() {
  const { age, level } = feed.value;
  const word = level === "live" ? format.age(age) : level === "unknown" ? "waiting" : `${format.age(age)} old`;
  return html`<${Chip} kind=${DOTS[level]} name="feed" title="Age of the prices">${word}<//>`;
}

function EdgeChip() {
  const { state, age, trading_state: trading } = edge.value;
  const kind = state === "connected" ? (trading === "ACTIVE" ? "ok" : "warned") : state === "unknown" ? "off" : "bad";
  const word = state === "connected" ? format.age(age) : state === "unknown" ? "waiting" : "unreachable";
  return html`<${Chip} kind=${kind} name="edge" title="Link to the edge: age of its heartbeat">
    ${word}
    ${trading && trading !== "ACTIVE" ? ` · ${trading.toLowerCase()}` : ""}
  <//>`;
}

const GOOD = new Set(["connected", "ok", "ready", "active"]);
const BrokerChips = () =>
  (status.value.data?.brokers ?? []).map(({ name, state }) => {
    const down = edge.value.state === "unreachable";
    const word = down ? "unknown" : (state ?? "unknown");
    return html`<${Chip}
      key=${name}
      kind=${down ? "off" : GOOD.has(word) ? "ok" : "bad"}
      name=${name}
      title="Broker session"
    >${GOOD.has(word) ? "" : word}<//>`;
  });

function CanaryChip() {
  const mine = status.value.data?.user_release;
  const stable = status.value.data?.release?.stable;
  if (!mine?.release || !stable || String(stable.release) === String(mine.release)) return null;
  return html`<span class="chip canary" title="You are served by a canary release">
    canary <b>${mine.version}</b>
    ${mine.weight != null && html` · <span class="num">${mine.weight}%</span>`}
  </span>`;
}

function AlertsMenu() {
  const items = alerts.value.data?.items ?? [];
  const worst = items.some((item) => item.severity === "critical")
    ? "bad"
    : items.some((item) => item.severity === "warning")
      ? "warned"
      : "off";
  return html`
    <button type="button" class="chip button-chip" popovertarget="alerts-menu" aria-label="Alerts: ${items.length}">
      <i class="dot ${worst}" aria-hidden="true"></i>
      <span class="chip-name">alerts</span> <span class="num">${items.length}</span>
    </button>
    <div class="menu alerts-menu" id="alerts-menu" popover="auto"><h2>Alerts</h2><${AlertList} items=${items} /></div>
  `;
}

const MARK = { critical: "✕", warning: "!", info: "i" };
export function AlertList({ items }) {
  if (!items.length) return html`<p class="muted pad">No alerts. Rejects, lost links and halts show here.</p>`;
  return html`<ul class="alert-list">
    ${items.map(
      (item) => html`<li key=${item.id} class=${item.severity}>
        <i class="mark" aria-hidden="true">${MARK[item.severity] ?? "i"}</i>
        <div>
          <b>${item.title}</b> <span class="sr">${item.severity}</span>
          <time class="muted num">${format.wallTime(item.at)}</time>
          <p class="muted">${item.detail}${item.mend ? ` ${item.mend}` : ""}</p>
        </div>
      </li>`,
    )}
  </ul>`;
}

function UserMenu() {
  const { user, engine } = session.value;
  const logOut = async () => {
    await call("DELETE", "/v1/session").catch(() => null);
    location.assign(`${BASE}/login`);
  };
  return html`
    <button
      type="button"
      class="chip button-chip user"
      popovertarget="user-menu"
      aria-label="User menu of ${user.name}"
    ><${Icon} name="user" /><span class="user-name">${user.login}</span></button>
    <div class="menu" id="user-menu" popover="auto">
      <h2>${user.name}</h2>
      <p class="muted">${user.roles.join(", ")} · engine ${engine.name} ${engine.version} (${engine.environment})</p>
      <${Settings} />
      <h3>Keys</h3>
      <dl class="keys">
        <dt><kbd>1</kbd>–<kbd>6</kbd></dt>
        <dd>tabs</dd>
        <dt><kbd>B</kbd> <kbd>S</kbd> <kbd>X</kbd></dt>
        <dd>buy, sell, exit the chosen row</dd>
        <dt><kbd>↑</kbd> <kbd>↓</kbd></dt>
        <dd>choose a row</dd>
        <dt><kbd>Ctrl+Shift+H</kbd></dt>
        <dd>hold: halt</dd>
      </dl>
      <button type="button" class="button" onClick=${logOut}>Log out</button>
    </div>
  `;
}

function TopBar() {
  return html`<header class="bar">
    <span class="brand"><${Icon} name="logo" /><span class="brand-word">Trading Engine</span></span>
    <span class="pill mode">${mode.value.toUpperCase()}</span>
    <div class="market">
      <${Clock} />
      <span class="sessions muted" title=${sessionsText()}>${sessionsText()}</span>
    </div>
    <${IndexStrip} />
    <${DayPnl} />
    <div class="chips">
      <${CanaryChip} />
      <${FeedChip} />
      <${EdgeChip} />
      <${BrokerChips} />
      <${AlertsMenu} />
      <${UserMenu} />
    </div>
    <${HaltButton} />
  </header>`;
}

function Strips() {
  const held = status.value;
  const lost = link.value.state === "lost";
  const gone = !lost && held.data?.edge?.state === "unreachable";
  return html`<div class="strips">
    <${HaltBar} />
    ${
      outdated.value &&
      html`<div class="strip warned" role="status">
        <b>Another release serves now.</b> <button
          type="button"
          class="button small"
          onClick=${reload}
        >Load it</button>
      </div>`
    }
    ${
      lost &&
      html`<div class="strip warned" role="status">
        <b>Connection lost</b> since ${format.wallTime(link.value.since)} (
        ${format.age(now.value - link.value.since)}
        ). Numbers are dimmed, new risk is off; exit, cancel and HALT still go out.
      </div>`
    }
    ${
      gone &&
      html`<div class="strip warned" role="status">
        <b>Edge unreachable</b>
        ${edge.value.age ? ` for ${format.age(edge.value.age)}.` : "."} It trades on by itself; new orders are not
        delivered. Its console: http://127.0.0.1:8090 on the edge machine.
      </div>`
    }
    ${
      held.data === null &&
      held.state === "error" &&
      html`<div class="strip warned" role="alert">
        <b>Status unknown.</b> ${held.problem.detail} <button
          type="button"
          class="button small"
          onClick=${() => load("status")}
        >Try again</button>
      </div>`
    }
  </div>`;
}

const Rail = () =>
  html`<nav class="rail" aria-label="Tabs">
    ${TABS.map(
      (item, index) => html`<a
        key=${item.key}
        class="tab"
        href=${BASE + item.path}
        aria-current=${tab.value === item.key ? "page" : undefined}
        onClick=${(event) => go(event, item)}
      >
        <${Icon} name=${item.key} />
        <span class="word">${item.title}</span>
        <span class="short">${item.short}</span>
        <kbd aria-hidden="true">${index + 1}</kbd>
      </a>`,
    )}
  </nav>`;

export function Frame({ children }) {
  useEffect(() => {
    const root = document.documentElement;
    root.dataset.mode = mode.value;
    root.toggleAttribute("data-halted", halted.value || Boolean(halt.value));
    root.toggleAttribute("data-lost", link.value.state === "lost");
  }, [mode.value, halted.value, halt.value, link.value.state]);
  const current = TABS.find((item) => item.key === tab.value);
  return html`
    <a class="skip" href="#main">Skip to the ${current.title} tab</a>
    <div class="edge" aria-hidden="true"></div>
    <${TopBar} />
    <${Strips} />
    <div class="frame">
      <${Rail} />
      <main class="main" id="main" tabindex="-1"><h1 class="sr">${current.title}</h1>${children}</main>
    </div>
    <div class="sr" aria-live="polite">${live.value.polite}</div>
    <div class="sr" aria-live="assertive">${live.value.assertive}</div>
    <${Toast} />
  `;
}

function Toast() {
  const shown = toast.value;
  useEffect(() => {
    if (!shown) return undefined;
    const timer = setTimeout(() => {
      if (toast.peek()?.id === shown.id) toast.value = null;
    }, 6000);
    return () => clearTimeout(timer);
  }, [shown?.id]);
  if (!shown) return null;
  return html`<div class="toast ${shown.tone}">
    <span>${shown.text}</span>
    <button
      type="button"
      class="plain"
      aria-label="Close"
      onClick=${() => {
        toast.value = null;
      }}
    >×</button>
  </div>`;
}
