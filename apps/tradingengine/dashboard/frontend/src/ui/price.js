// Numbers that follow the live quote.
import { arrow, percent, price, tone } from "../lib/format.js";
import { html } from "../lib/html.js";
import { feed, link, quote } from "../lib/store.js";

/** Class of anything made of prices: dimmed when they are stale or the connection is lost. */
export const priceLevel = () => (link.value.state === "lost" ? "stale" : feed.value.level);

/** The last price; its cell is tinted for a moment when it moves. The two names restart the animation. */
export function Last({ symbol, follow = true }) {
  const held = follow ? quote(symbol).value : quote(symbol).peek();
  const flash = follow && held?.flips ? `${held.move > 0 ? "up" : "down"}-${held.flips % 2}` : "";
  return html`<span class="px ${flash}" data-level=${priceLevel()}>${price(held?.last)}</span>`;
}

export function ChangePercent({ symbol }) {
  const value = quote(symbol).value?.change_percent;
  return html`<span class="chg ${tone(value)}" data-level=${priceLevel()}>
    <span class="arrow" aria-hidden="true">${arrow(value)}</span> ${percent(value)}
  </span>`;
}

/** A line of values around a base as SVG; its side of the base at the end gives the colour. */
export function Sparkline({ values, base = 0, label, width = 120, height = 40 }) {
  const numbers = values.map(Number).filter(Number.isFinite);
  if (numbers.length < 2) return null;
  const low = Math.min(...numbers, base);
  const high = Math.max(...numbers, base);
  const span = high - low || 1;
  const x = (i) => ((i / (numbers.length - 1)) * (width - 4) + 2).toFixed(1);
  const y = (value) => (height - 3 - ((value - low) / span) * (height - 6)).toFixed(1);
  const path = numbers.map((value, i) => `${i ? "L" : "M"}${x(i)} ${y(value)}`).join("");
  return html`<svg
    class="spark ${tone(numbers.at(-1) - base)}"
    viewBox="0 0 ${width} ${height}"
    preserveAspectRatio="none"
    role="img"
    aria-label=${label}
  >
    <line x1="2" x2=${width - 2} y1=${y(base)} y2=${y(base)} class="zero" />
    <path d=${path} fill="none" vector-effect="non-scaling-stroke" />
  </svg>`;
}

/** Part of a limit that is used. */
export function Meter({ value, limit, label, tone: kind = "" }) {
  const share = limit > 0 ? Math.min(1, Math.max(0, value / limit)) : 0;
  const level = kind || (share >= 0.9 ? "bad" : share >= 0.7 ? "warned" : "");
  return html`<div
    class="meter ${level}"
    role="meter"
    aria-label=${label}
    aria-valuemin="0"
    aria-valuemax="100"
    aria-valuenow=${Math.round(share * 100)}
  ><i style=${{ width: `${share * 100}%` }}></i></div>`;
}
