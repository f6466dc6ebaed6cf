// Builds ../static/viewer.js and viewer.css. The same sources and lockfile give the same bytes, so that
// CI can tell whether the committed files are those of the sources.
import { build } from "esbuild";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

const result = await build({
  entryPoints: { viewer: here("src/index.tsx") },
  bundle: true,
  format: "esm",
  target: ["es2022"],
  jsx: "automatic",
  jsxImportSource: "preact",
  minify: true,
  charset: "utf8",
  legalComments: "none",
  outdir: here("../static"),
  metafile: true,
  absWorkingDir: here("."),
});

// The licences of what is bundled go with it.
const packages = new Set(
  Object.keys(result.metafile.inputs)
    .map((path) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)\//)?.[1])
    .filter(Boolean),
);
const texts = [...packages].sort().map((name) => {
  const { version, license } = JSON.parse(readFileSync(here(`node_modules/${name}/package.json`), "utf8"));
  let text = "";
  for (const file of ["LICENSE", "LICENSE.txt", "LICENSE.md", "license"]) {
    try {
      text = readFileSync(here(`node_modules/${name}/${file}`), "utf8").trim();
      break;
    } catch {
      // the next name
    }
  }
  return `${name} ${version} (${license})\n\n${text}\n`;
});
writeFileSync(here("../static/THIRD_PARTY.txt"), `viewer.js contains:\n\n${texts.join(`\n${"-".repeat(80)}\n\n`)}`);
const size = Object.entries(result.metafile.outputs).map(([path, { bytes }]) => `${path.split("/").pop()} ${bytes}`);
console.log(size.join(", "));
