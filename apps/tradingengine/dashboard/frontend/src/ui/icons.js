import { html } from "../lib/html.js";

/** Paths on a 16 px grid, drawn with the text's colour. */
export const ICONS = {
  logo: "M3 4v8M8 2.5v11M13 5v9M1.8 6h2.4v4H1.8zM6.8 4.5h2.4v5H6.8zM11.8 7h2.4v4.5h-2.4z",
  dashboard: "M2 2.5h5v11H2zM9 2.5h5V7H9zM9 9h5v4.5H9z",
  charts: "M4 2v2.5M4 9v3M2.5 4.5h3V9h-3zM11.5 4v2M11.5 11v3M10 6h3v5h-3z",
  fno: "M1.5 12.5 8 4.5l6.5 8M1.5 8.5h13",
  btst: "M13 9.8A5.8 5.8 0 1 1 6.6 2.6 4.8 4.8 0 0 0 13 9.8z",
  portfolio: "M2 5h12v8.5H2zM5.5 5V2.8h5V5M2 8.8h12",
  system: "M2 3h12v4H2zM2 9.5h12v4H2zM4.5 5h.1M4.5 11.5h.1",
  user: "M8 8.2a2.6 2.6 0 1 0 0-5.2 2.6 2.6 0 0 0 0 5.2zM2.8 14c.5-2.6 2.6-4 5.2-4s4.7 1.4 5.2 4",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.8 10.8 14 14",
  close: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  copy: "M5 5V2.5h8.5V11H11M2.5 5H11v8.5H2.5z",
};

export const Icon = ({ name }) =>
  html`<svg
    class="icon"
    viewBox="0 0 16 16"
    aria-hidden="true"
    fill="none"
    stroke="currentColor"
    stroke-width="1.4"
    stroke-linejoin="round"
    stroke-linecap="round"
  ><path d=${ICONS[name]} /></svg>`;
