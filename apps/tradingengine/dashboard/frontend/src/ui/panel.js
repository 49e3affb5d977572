// The frame of every widget with its five states: loading, empty, live, stale, error.
import { useComputed } from "@preact/signals";
import { load } from "../lib/api.js";
import * as format from "../lib/format.js";
import { html } from "../lib/html.js";
import { ageOf, levelOf } from "../lib/store.js";

/** What went wrong, where, how to mend it, and a way to try again. */
export function Trouble({ problem, retry, compact = false }) {
  return html`<div class=${compact ? "trouble compact" : "trouble"} role="alert">
    <p class="trouble-what">${problem.detail || problem.title || "Something went wrong."}</p>
    ${problem.mend && html`<p class="muted">${problem.mend}</p>`}
    ${retry && html`<button class="button small" type="button" onClick=${retry}>Try again</button>`}
  </div>`;
}

export const Skeleton = ({ rows = 4, height = "row" }) =>
  html`<div class="skeleton" aria-hidden="true">
    ${Array.from({ length: rows }, (_, i) => html`<i key=${i} class=${height}></i>`)}
  </div>`;

/** A sentence and the next step. */
export const Empty = ({ text, step }) =>
  html`<div class="empty"><p>${text}</p>${step && html`<p class="muted">${step}</p>`}</div>`;

/**
 * @param {{name: string, title: any, resource: any, note?: any, actions?: any, isEmpty?: (data: any) => boolean,
 *   empty?: {text: string, step?: any}, rows?: number, pushed?: boolean, children: (data: any) => any,
 *   class?: string}} props
 */
export function Panel({
  name,
  title,
  resource,
  note,
  actions,
  isEmpty,
  empty,
  rows = 4,
  pushed = true,
  children,
  class: extra = "",
}) {
  const held = resource.value;
  // The clock ticks four times a second: only a level that changes may draw the rows again.
  const level = useComputed(() => (resource.value.data === null ? "live" : levelOf(resource.value, pushed))).value;
  const nothing = held.data !== null && isEmpty?.(held.data);
  const state =
    held.data === null
      ? held.state === "error"
        ? "error"
        : "loading"
      : nothing
        ? "empty"
        : level === "live"
          ? "live"
          : "stale";
  const retry = () => load(name);
  return html`<section
    class="panel ${extra}"
    data-panel=${name}
    data-state=${state}
    data-level=${level}
    aria-busy=${state === "loading"}
    aria-label=${typeof title === "string" ? title : name}
  >
    <header class="panel-head">
      <h2>${title}</h2>
      ${note && html`<span class="panel-note">${note}</span>`}
      <span class="spacer"></span>
      ${level !== "live" && html`<${Age} held=${held} pushed=${pushed} />`}
      ${actions}
    </header>
    <div class=${level === "stale" ? "panel-body dimmed" : "panel-body"}>
      ${held.data !== null && held.problem && html`<${Trouble} problem=${held.problem} retry=${retry} compact />`}
      ${state === "loading" && html`<span class="sr">Loading ${title}</span><${Skeleton} rows=${rows} />`}
      ${state === "error" && html`<${Trouble} problem=${held.problem} retry=${retry} />`}
      ${nothing && html`<${Empty} ...${empty} />`}
      ${held.data !== null && !nothing && children(held.data)}
    </div>
  </section>`;
}

const Age = ({ held, pushed }) => html`<span class="age warn">${format.age(ageOf(held, pushed))} old</span>`;

/** Something that this version does not do, said plainly. */
export const NotYet = ({ title, children }) =>
  html`<section class="panel notyet" aria-label=${title}>
    <header class="panel-head">
      <h2>${title}</h2>
      <span class="spacer"></span>
      <span class="tag">not in this version</span>
    </header>
    <div class="panel-body pad">${children}</div>
  </section>`;
