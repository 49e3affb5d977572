// Search over what the engine knows: a text field with a list, by the keyboard alone if one likes.
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { get } from "../lib/api.js";
import { ticker } from "../lib/format.js";
import { html } from "../lib/html.js";

const WAIT_MS = 120;

/**
 * @param {{label: string, onPick: (instrument: any) => void, tradableOnly?: boolean, placeholder?: string,
 *   invalid?: boolean, describedBy?: string, value?: string}} props
 */
export function SymbolSearch({
  label,
  onPick,
  tradableOnly = false,
  placeholder = "Search a symbol",
  invalid,
  describedBy,
}) {
  const id = useId();
  const [text, setText] = useState("");
  const [items, setItems] = useState(null);
  const [problem, setProblem] = useState(null);
  const [active, setActive] = useState(0);
  const [open, setOpen] = useState(false);
  const asked = useRef(0);
  const shownFor = useRef(null);
  const enter = useRef(false);
  useEffect(() => {
    if (!open) return undefined;
    const timer = setTimeout(async () => {
      const mine = ++asked.current;
      try {
        const answer = await get(`/v1/instruments?query=${encodeURIComponent(text)}&limit=12`);
        // Answers may overtake each other: only the newest question counts.
        if (mine !== asked.current) return;
        const found = answer.items.filter((item) => !tradableOnly || item.tradable);
        shownFor.current = text;
        setItems(found);
        setProblem(null);
        setActive(0);
        if (enter.current && found.length) pick(found[0]);
        enter.current = false;
      } catch (error) {
        if (mine === asked.current) setProblem(error);
      }
    }, WAIT_MS);
    return () => clearTimeout(timer);
  }, [text, open]);
  const pick = (item) => {
    setOpen(false);
    setText("");
    shownFor.current = null;
    onPick(item);
  };
  const onKeyDown = (event) => {
    if (event.key === "Escape") setOpen(false);
    if (event.key === "Enter") event.preventDefault();
    if (open && event.key === "Enter" && shownFor.current !== text) {
      // The list still belongs to fewer letters: taking its first line could be another symbol.
      enter.current = true;
      return;
    }
    if (!open || !items?.length) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      setActive((active + (event.key === "ArrowDown" ? 1 : items.length - 1)) % items.length);
    }
    if (event.key === "Enter") pick(items[active]);
  };
  const showList = open && items !== null;
  return html`<div
    class="search"
    onFocusOut=${(event) => {
      if (!enter.current && !event.currentTarget.contains(event.relatedTarget)) setOpen(false);
    }}
  >
    <input
      type="text"
      role="combobox"
      aria-label=${label}
      aria-expanded=${Boolean(showList)}
      aria-controls="${id}-list"
      aria-autocomplete="list"
      aria-activedescendant=${showList && items.length ? `${id}-${active}` : undefined}
      aria-invalid=${invalid}
      aria-describedby=${describedBy}
      autocomplete="off"
      spellcheck="false"
      placeholder=${placeholder}
      value=${text}
      onFocus=${() => setOpen(true)}
      onInput=${(event) => {
        setText(event.currentTarget.value);
        setOpen(true);
        enter.current = false;
      }}
      onKeyDown=${onKeyDown}
    />
    <ul class="search-list" id="${id}-list" role="listbox" aria-label=${label} hidden=${!showList}>
      ${
        showList &&
        items.map(
          (item, index) => html`<li
            key=${item.symbol}
            id="${id}-${index}"
            role="option"
            aria-selected=${index === active}
            onPointerDown=${(event) => {
              event.preventDefault();
              pick(item);
            }}
          >
            <b>${ticker(item.symbol)}</b> <span class="muted">${item.name}</span>
            <span class="spacer"></span>
            <span class="tag">${item.exchange} ${item.kind}</span>
          </li>`,
        )
      }
      ${
        showList &&
        !items.length &&
        html`<li class="muted" role="option" aria-selected="false" aria-disabled="true">
          Nothing found for “
          ${text}
          ”.
        </li>`
      }
    </ul>
    ${problem && open && html`<p class="field-error" role="alert">${problem.message}</p>`}
  </div>`;
}
