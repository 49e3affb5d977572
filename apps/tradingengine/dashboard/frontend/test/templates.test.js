import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import htm from "htm";
import { findTemplates, minifyParts, minifyTemplates } from "../templates.mjs";

const SOURCES = join(import.meta.dirname, "..", "src");
const files = readdirSync(SOURCES, { recursive: true }).filter((file) => file.endsWith(".js"));

const meaning = htm.bind((tag, props, ...children) => ({ tag, props, children }));
const pieces = (source, quasi) => quasi.quasis.map((part) => source.slice(part.start, part.end));
/** What htm makes of the parts of a template, with marks for its expressions. A line break in a text shows as a space. */
function tree(parts) {
  const marks = parts.slice(1).map((_, index) => ({ toString: () => `{${index}}`, [`prop${index}`]: index }));
  return JSON.stringify(meaning(Object.assign([...parts], { raw: parts }), ...marks), (_, value) =>
    typeof value === "string" ? value.replace(/\s*\n\s*/g, " ") : value,
  );
}

test("a template means the same before and after, in every source", () => {
  let seen = 0;
  for (const file of files) {
    const source = readFileSync(join(SOURCES, file), "utf8");
    for (const quasi of findTemplates(source)) {
      const parts = pieces(source, quasi);
      const made = minifyParts(parts);
      assert.equal(tree(made), tree(parts), `${file}: ${source.slice(quasi.start, quasi.start + 80)}`);
      seen += 1;
    }
    assert.doesNotThrow(() => findTemplates(minifyTemplates(source)), file);
  }
  assert.ok(seen > 100, `only ${seen} templates were found`);
});

test("white space that is shown stays, what htm drops goes", () => {
  assert.deepEqual(minifyParts(["<p>\n  a <b>c</b>\n  d\n</p>"]), ["<p>a <b>c</>d</>"]);
  assert.deepEqual(minifyParts(["<p>\n  one\n  two <i />\n</p>"]), ["<p>one two <i/></>"]);
  assert.deepEqual(minifyParts(['<p\n  class="a\n  b"\n  title=', "\n>", " ", "</p>"]), [
    '<p class="a\n  b" title=',
    ">",
    " ",
    "</>",
  ]);
  assert.deepEqual(minifyParts(["<", " ...", " /> <", ">\n", "\n<//>"]), ["<", " ...", "/> <", ">", "</>"]);
});

test("strings and other templates are left alone", () => {
  const source = 'const a = `x\n  y`;\nconst b = "<p>\\n  </p>";\nconst c = html`<p>\n  ${`z\n  z`}\n</p>`;\n';
  assert.equal(
    minifyTemplates(source),
    'const a = `x\n  y`;\nconst b = "<p>\\n  </p>";\nconst c = html`<p>${`z\n  z`}</>`;\n',
  );
});

test("no line is longer than 120 characters: the formatter breaks code, not comments and templates", () => {
  const long = files.flatMap((file) =>
    readFileSync(join(SOURCES, file), "utf8")
      .split("\n")
      .flatMap((line, index) => (line.length > 120 ? [`${file}:${index + 1}`] : [])),
  );
  assert.deepEqual(long, []);
});
