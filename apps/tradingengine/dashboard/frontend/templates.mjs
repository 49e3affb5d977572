// Takes out of htm templates what htm itself throws away, so that a source may be broken into lines as it reads best.
// Minifiers leave strings alone, and a regular expression over a whole file would also change strings that mean it.
import { parse } from "acorn";

const same = (text) => text;
const trimmed = (text) => text.replace(/^\s*\n\s*|\s*\n\s*$/g, "").replace(/\s*\n\s*/g, " ");

/** By state: what may come next, what is written for it, and the state after it. The first that fits counts. */
const RULES = {
  text: [
    [/<\//y, same, "end"],
    [/</y, same, "tag"],
    [/[^<]+/y, trimmed, "text"],
  ],
  end: [
    [/>/y, same, "text"],
    [/[^>]+/y, () => "", "end"],
  ],
  tag: [
    [/"/y, same, "double"],
    [/'/y, same, "single"],
    [/>/y, same, "text"],
    [/\s+(?=\/?>)/y, () => "", "tag"],
    [/\s+/y, () => " ", "tag"],
    [/[^\s"'>]+/y, same, "tag"],
  ],
  double: [
    [/"/y, same, "tag"],
    [/[^"]+/y, same, "double"],
  ],
  single: [
    [/'/y, same, "tag"],
    [/[^']+/y, same, "single"],
  ],
};

/** The source with each html`…` written as short as means the same. @param {string} source a module */
export function minifyTemplates(source) {
  const changes = [];
  for (const { quasis } of findTemplates(source)) {
    const parts = quasis.map((quasi) => source.slice(quasi.start, quasi.end));
    minifyParts(parts).forEach((text, index) => {
      changes.push([quasis[index].start, quasis[index].end, text]);
    });
  }
  let made = source;
  for (const [start, end, text] of changes.sort((a, b) => b[0] - a[0]))
    made = made.slice(0, start) + text + made.slice(end);
  return made;
}

/** Syntax nodes of the templates tagged `html`, inner ones too. @param {string} source a module */
export function findTemplates(source) {
  const found = [];
  const visit = (node) => {
    if (!node || typeof node !== "object") return;
    if (Array.isArray(node)) {
      for (const item of node) visit(item);
      return;
    }
    if (node.type === "TaggedTemplateExpression" && node.tag.name === "html") found.push(node.quasi);
    for (const value of Object.values(node)) visit(value);
  };
  visit(parse(source, { ecmaVersion: "latest", sourceType: "module" }));
  return found;
}

/**
 * The texts between the expressions of one template. White space that holds a line break is nothing at the edge of a
 * text, as in htm, and one space within it; between attributes any white space is one space, before the end of a tag
 * none; quoted values stay. An end tag needs no name.
 * @param {string[]} parts
 */
export function minifyParts(parts) {
  let state = "text";
  return parts.map((part) => {
    let made = "";
    for (let at = 0; at < part.length; ) {
      const [found, write, next] = match(state, part, at);
      made += write(found);
      state = next;
      at += found.length;
    }
    return made;
  });
}

function match(state, part, at) {
  for (const [pattern, write, next] of RULES[state]) {
    pattern.lastIndex = at;
    const found = pattern.exec(part);
    if (found) return [found[0], write, next];
  }
  throw new Error(`No rule of ${state} fits: ${part.slice(at, at + 40)}`);
}
