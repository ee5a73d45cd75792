// Answers queries with engine.js: node engine_check.mjs ENGINE QUERIES > answers.json
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [, , enginePath, queriesPath] = process.argv;
const engine = await import(pathToFileURL(enginePath));
const queries = JSON.parse(readFileSync(queriesPath, "utf-8"));
const model = engine.unpack(queries.pack);
const noise = Float64Array.from(queries.noise);

function ask(measured) {
  const answer = engine.infer(model, measured, noise);
  const quantiles = model.targets.map(({ name }) => {
    const sorted = answer.columns[name].slice().sort();
    return queries.levels.map((level) => engine.quantile(sorted, level));
  });
  const since = answer.columns.time_since_collision_Gyr.slice().sort();
  return {
    quantiles,
    since: queries.levels.map((level) => engine.quantile(since, level)),
    checks: [answer.recordWindow, answer.recordProbability, answer.majorRecent, answer.oodScore],
    outOfRange: answer.outOfRange.map(([name]) => name),
  };
}

const answers = queries.measured.map(ask);
const intervals = engine.shortestInterval(Float64Array.from([0, 1, 1.1, 1.2, 3]), 0.6);
const tails = queries.tails.map(([squared, degrees]) => engine.logChiSquaredTail(squared, degrees));
const clocks = queries.redshifts.map((z) => engine.redshiftAtLookback(model, engine.lookbackAtRedshift(model, z)));
console.log(JSON.stringify({ answers, intervals, tails, clocks, noise: Array.from(engine.gaussianNoise(20000, 3)) }));
