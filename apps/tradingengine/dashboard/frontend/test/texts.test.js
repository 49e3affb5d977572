import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { parse } from "acorn";
import { findTemplates } from "../templates.mjs";

const SOURCES = join(import.meta.dirname, "..", "src");
const files = readdirSync(SOURCES, { recursive: true }).filter((file) => file.endsWith(".js"));
/** A path into the resource, or a name in its spelling: nobody who trades can set it. */
const OF_THE_RESOURCE = /\bspec\b|\b[a-z]+[A-Z]\w*/;

/** The texts between the tags of html templates, and every other string that reads as words. */
function textsOf(source) {
  const templates = findTemplates(source);
  const texts = templates.map(({ quasis }) =>
    quasis
      .map((part) => part.value.cooked)
      .join("\0")
      .replace(/<[^>]*>/g, "\n"),
  );
  const inTemplate = new Set(templates.map(({ start }) => start));
  const visit = (node) => {
    if (!node || typeof node !== "object") return;
    if (node.type === "Literal" && typeof node.value === "string" && node.value.includes(" ")) texts.push(node.value);
    if (node.type === "TemplateLiteral" && !inTemplate.has(node.start)) {
      texts.push(node.quasis.map((part) => part.value.cooked).join("\0"));
    }
    for (const value of Object.values(node)) visit(value);
  };
  visit(parse(source, { ecmaVersion: "latest", sourceType: "module" }));
  return texts;
}

test("no text of the page names a field of the resource", () => {
  let seen = 0;
  for (const file of files) {
    const texts = textsOf(readFileSync(join(SOURCES, file), "utf8"));
    seen += texts.length;
    assert.deepEqual(
      texts.filter((text) => OF_THE_RESOURCE.test(text)),
      [],
      file,
    );
  }
  assert.ok(seen > 300, `only ${seen} texts were found`);
});

test("the search sees what it is for", () => {
  const source =
    'const a = html`<p onClick=${b}>Set <b>dailyLoss</b></p>`;\nconst c = `see spec.risk of ${d}`, e = "no spec";';
  assert.equal(textsOf(source).filter((text) => OF_THE_RESOURCE.test(text)).length, 3);
});
