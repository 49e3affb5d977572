// Theme and colours of gain and loss. The server reads both from cookies, so that a page never flashes.
import { useState } from "preact/hooks";
import { html } from "../lib/html.js";

const YEAR = 31_536_000;
const root = document.documentElement;

function keep(name, attribute, value) {
  if (value) root.dataset[attribute] = value;
  else delete root.dataset[attribute];
  // biome-ignore lint/suspicious/noDocumentCookie: pages without TLS have no Cookie Store
  document.cookie = `${name}=${value}; Path=/; SameSite=Lax; Max-Age=${value ? YEAR : 0}`;
  dispatchEvent(new Event("te-look"));
}

const Choice = ({ label, name, options, value, onChange }) =>
  html`<fieldset class="choice">
    <legend>${label}</legend>
    ${options.map(
      ([key, word]) =>
        html`<label key=${key}>
          <input type="radio" name=${name} checked=${value === key} onChange=${() => onChange(key)} />
          <span>${word}</span>
        </label>`,
    )}
  </fieldset>`;

export function Settings() {
  const [theme, setTheme] = useState(root.dataset.theme ?? "");
  const [palette, setPalette] = useState(root.dataset.palette ?? "");
  return html`
    <${Choice}
      label="Theme"
      name="theme"
      value=${theme}
      options=${[["", "System"], ["dark", "Dark"], ["light", "Light"]]}
      onChange=${(value) => {
        setTheme(value);
        keep("te-theme", "theme", value);
      }}
    />
    <${Choice}
      label="Gain and loss"
      name="palette"
      value=${palette}
      options=${[["", "Green, red"], ["blue-orange", "Blue, orange"]]}
      onChange=${(value) => {
        setPalette(value);
        keep("te-palette", "palette", value);
      }}
    />
  `;
}
