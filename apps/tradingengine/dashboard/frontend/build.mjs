// Builds ../static: hashed files, and a manifest that maps names to them. Fails when they are larger than their budget.

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { minifyTemplates } from "./templates.mjs";

const here = dirname(fileURLToPath(import.meta.url));
// Built beside and moved there whole: a build that fails leaves the last good one to the server that reads it.
const place = join(here, "..", "static");
const out = join(here, "dist");
// KiB gzip: what a page loads at first, each file that is loaded when it is wanted, all together.
const BUDGET = { first: 60, lazy: 60, all: 250 };

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });

// What is no JavaScript goes on as it is: the bundler names file, line and column.
const minified = (text) => {
  try {
    return minifyTemplates(text);
  } catch (error) {
    if (error instanceof SyntaxError) return text;
    throw error;
  }
};

const templates = {
  name: "templates",
  setup: (plugin) =>
    plugin.onLoad({ filter: /\/src\/.*\.js$/ }, ({ path }) => ({
      contents: minified(readFileSync(path, "utf8")),
      loader: "js",
    })),
};

const result = await build({
  absWorkingDir: here,
  entryPoints: { app: "src/main.js", login: "src/login.js", "app-style": "src/css/app.css" },
  outdir: out,
  bundle: true,
  plugins: [templates],
  splitting: true,
  format: "esm",
  target: ["es2022"],
  minify: true,
  metafile: true,
  legalComments: "none",
  charset: "utf8",
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  define: { "process.env.NODE_ENV": '"production"' },
  logLevel: "warning",
}).catch(() => process.exit(1)); // it has said what is wrong, and where

const manifest = {};
for (const [file, meta] of Object.entries(result.metafile.outputs)) {
  const name = relative(out, join(here, file));
  if (meta.entryPoint === "src/main.js") manifest["app.js"] = name;
  if (meta.entryPoint === "src/login.js") manifest["login.js"] = name;
  if (meta.entryPoint === "src/css/app.css") manifest["app.css"] = name;
  if (meta.entryPoint === "src/chart/chart.js") manifest["chart.js"] = name;
}
const icon = readFileSync(join(here, "src", "icon.svg"));
const iconName = `icon-${createHash("sha256").update(icon).digest("hex").slice(0, 8)}.svg`;
writeFileSync(join(out, iconName), icon);
manifest["icon.svg"] = iconName;

// Licences of what is bundled travel with it.
const notices = ["preact", "@preact/signals", "@preact/signals-core", "htm", "lightweight-charts", "fancy-canvas"].map(
  (name) => {
    const folder = join(here, "node_modules", name);
    const licence = readdirSync(folder).find((file) => /^licen[sc]e/i.test(file));
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    return `${name} ${version} (${license})\n\n${licence ? readFileSync(join(folder, licence), "utf8") : ""}`;
  },
);
writeFileSync(join(out, "LICENCES.txt"), notices.join("\n\n----\n\n"));

const sizes = {};
for (const file of readdirSync(out)) {
  if (file === "LICENCES.txt") continue;
  sizes[file] = gzipSync(readFileSync(join(out, file)), { level: 9 }).length;
}
writeFileSync(join(out, "manifest.json"), `${JSON.stringify(manifest, null, 2)}\n`);

// What a module brings in by itself, not what it asks for later.
const imports = {};
for (const [file, meta] of Object.entries(result.metafile.outputs)) {
  const atOnce = meta.imports.filter(({ kind, external }) => kind === "import-statement" && !external);
  imports[relative(out, join(here, file))] = atOnce.map(({ path }) => relative(out, join(here, path)));
}
const first = new Set([manifest["app.css"], manifest["icon.svg"]]);
const add = (file) => {
  if (first.has(file)) return;
  first.add(file);
  for (const other of imports[file] ?? []) add(other);
};
add(manifest["app.js"]);
const sum = (files) => files.reduce((bytes, file) => bytes + sizes[file], 0);
const groups = { first: sum([...first]), all: sum(Object.keys(sizes)), lazy: {} };
for (const file of Object.keys(sizes)) if (!first.has(file)) groups.lazy[file] = sizes[file];

const kib = (bytes) => (bytes / 1024).toFixed(1);
writeFileSync(join(out, "sizes.json"), `${JSON.stringify({ gzip: sizes, ...groups, budget: BUDGET }, null, 2)}\n`);
console.log(
  `static: ${Object.keys(sizes).length} files, ${kib(groups.first)} KiB gzip at first, ${kib(groups.all)} in all`,
);
const over = [
  ["what is loaded at first", groups.first, BUDGET.first],
  ["all together", groups.all, BUDGET.all],
  ...Object.entries(groups.lazy).map(([file, bytes]) => [file, bytes, BUDGET.lazy]),
].filter(([, bytes, budget]) => bytes > budget * 1024);
for (const [what, bytes, budget] of over) console.error(`${what}: ${kib(bytes)} KiB gzip, more than its ${budget}`);
if (over.length > 0) process.exit(1);
rmSync(place, { recursive: true, force: true });
renameSync(out, place);
