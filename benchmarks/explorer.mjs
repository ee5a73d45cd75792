// What an update of the explorer takes: node benchmarks/explorer.mjs explorer.html
import { readFileSync, writeFileSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const page = readFileSync(process.argv[2], "utf-8");
const inside = (begin, end) => page.split(begin)[1].split(end)[0];
const pack = JSON.parse(inside('id="model">', "</script>"));
const source = inside('<script type="module">', "\n// The explorer:");
const path = join(mkdtempSync(join(tmpdir(), "explorer-")), "engine.mjs");
writeFileSync(path, source);
const engine = await import(pathToFileURL(path));

const model = engine.unpack(pack);
const { num_members: numMembers } = model.flow;
const noise = engine.gaussianNoise(numMembers * 200 * model.targets.length, 1);
const clusters = pack.clusters.map(({ measured }) => measured);
const ask = () => clusters.forEach((measured) => engine.infer(model, measured, noise));
for (let n = 0; n < 3; n++) ask(); // compiled before the clock runs
const milliseconds = [];
for (let n = 0; n < 7; n++) {
  const before = process.cpuUsage();
  ask();
  const { user, system } = process.cpuUsage(before);
  milliseconds.push((user + system) / 1000 / clusters.length);
}
milliseconds.sort((a, b) => a - b);
const [least, , , median, , , most] = milliseconds.map((value) => value.toFixed(1));
console.log(`${numMembers} members x 200 samples: ${median} ms of a processor an answer (${least} to ${most} in 7 rounds of ${clusters.length} clusters)`);
