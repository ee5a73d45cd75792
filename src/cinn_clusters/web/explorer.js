// The explorer: sliders for what was measured, the posterior of the merger history beside them.
// ``start(root, pack)`` fills an element; a page and a widget call it alike. The functions of
// ``engine.js`` stand before this file in the same module.

const NUM_SAMPLES = 200; // a member
const NUM_BINS = 48;
const PAIRS = [
  ["time_since_collision_Gyr", "last_Mass_ratio"],
  ["time_since_collision_Gyr", "last_V_coll"],
];
const ALARM = 0.99;
const SINCE = {
  name: "time_since_collision_Gyr",
  label: "Time since collision",
  symbol: "t_since",
  unit: "Gyr",
};

/** Units that an observer uses, and the way from and to those of the model. */
const LINEAR = { from: (v) => v, to: (v) => v, error: (e) => e, back: (e) => e };
function massUnit(logOfUnit) {
  return {
    from: (v) => Math.log10(v) + logOfUnit,
    to: (v) => Math.pow(10, v - logOfUnit),
    error: (e, v) => e / v / Math.LN10,
    back: (e, v) => e * v * Math.LN10,
  };
}
function scaledUnit(factor) {
  return {
    from: (v) => v * factor,
    to: (v) => v / factor,
    error: (e, v) => e / v / Math.LN10,
    back: (e, v) => e * v * Math.LN10,
  };
}

function unitsOf(model, map) {
  if (map.name === model.time) {
    return {
      redshift: {
        from: (z) => lookbackAtRedshift(model, z),
        to: (t) => redshiftAtLookback(model, t),
      },
      "Gyr of lookback": LINEAR,
    };
  }
  const hubble = model.clock.hubble_constant / 100;
  if (map.unit_name === "log10 Msun") {
    return { "log10 M☉": LINEAR, "10¹⁴ M☉": massUnit(14), "10¹² M☉": massUnit(12) };
  }
  if (map.unit_name === "1e10 Msun/h") {
    return { "10⁹ M☉": scaledUnit(hubble / 10), "10¹⁰ M☉/h": scaledUnit(1) };
  }
  return { [map.unit_name || "value"]: LINEAR };
}

/** Targets as a reader sees them: words of the glossary on cards, symbols on axes. */
function targetLabels(model) {
  const targets = model.targets.map((map) => ({
    name: map.name,
    label: map.meaning.charAt(0).toUpperCase() + map.meaning.slice(1),
    symbol: plain(map.symbol),
    unit: map.unit_name.replace("Msun", "M☉"),
  }));
  return model.collision_time ? [SINCE, ...targets] : targets;
}

function axisLabel({ symbol, unit }) {
  return unit ? `${symbol} [${unit}]` : symbol;
}

/** A symbol in TeX without its markup. */
function plain(symbol) {
  return symbol.replaceAll("\\mathrm", "").replaceAll("\\xi", "ξ").replace(/[{}\\]/g, "");
}

function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Number with three digits that matter. */
export function shown(value) {
  if (!Number.isFinite(value)) return "–";
  if (value !== 0 && (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3)) return value.toPrecision(3);
  const digits = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)));
  return value.toFixed(Math.min(Math.max(2 - digits, 0), 4));
}

/** Rows of a table pasted or dropped: header line, then values; tab, semicolon or comma between. */
export function readRows(text) {
  const lines = text.split(/\r?\n/).filter((line) => line.trim() && !line.startsWith("#"));
  if (lines.length < 2) {
    throw new Error("expected a line of column names and at least one line of values");
  }
  const separator = ["\t", ";", ","].find((mark) => lines[0].includes(mark)) ?? /\s+/;
  const cells = (line) => splitCells(line, separator);
  const names = cells(lines[0]);
  return lines.slice(1).map((line, number) => {
    const values = cells(line);
    if (values.length !== names.length) {
      throw new Error(`line ${number + 2}: expected ${names.length} cells; got ${values.length}`);
    }
    return Object.fromEntries(names.map((name, n) => [name, values[n]]));
  });
}

/** Cells of a line; a separator between quotation marks is text (RFC 4180). */
function splitCells(line, separator) {
  if (typeof separator !== "string") return line.trim().split(separator);
  const cells = [""];
  let isQuoted = false;
  for (const letter of line) {
    if (letter === '"') isQuoted = !isQuoted;
    else if (letter === separator && !isQuoted) cells.push("");
    else cells[cells.length - 1] += letter;
  }
  return cells.map((cell) => cell.trim());
}

/** What was measured of a row of named cells: columns of the model, or redshift for the time. */
export function measuredOf(model, row) {
  const number = (name) => {
    const cell = row[name];
    if (cell === undefined || cell === "" || /^(nan|--|null|n\/a)$/i.test(cell)) return NaN;
    const value = Number(cell);
    if (Number.isNaN(value)) throw new Error(`column '${name}': expected a number; got '${cell}'`);
    return value;
  };
  const measured = {};
  for (const { name } of model.observables) {
    const error = number(`sigma_${name}`);
    if (error < 0) throw new Error(`column 'sigma_${name}': expected no negative error; got ${error}`);
    const value = number(name);
    if (!Number.isNaN(value)) measured[name] = { value, error: Number.isNaN(error) ? 0 : error };
  }
  const redshift = ["redshift", "z", "Redshift"].map(number).find((value) => !Number.isNaN(value));
  if (!measured[model.time] && redshift !== undefined) {
    measured[model.time] = { value: lookbackAtRedshift(model, redshift), error: 0 };
  }
  const time = measured[model.time];
  if (!time) throw new Error(`expected a column '${model.time}' [Gyr] or 'redshift'`);
  const age = ageAtLookback(model, time.value);
  if (!(time.value >= 0 && age > model.record_begin)) {
    throw new Error(`${model.time}: expected an observation after the record begins; got ${shown(time.value)} Gyr`);
  }
  return measured;
}

/** Medians, 68 % intervals and what says whether they apply, one row a cluster. */
export function answerTable(model, rows, noise) {
  const targets = targetLabels(model);
  const lines = [
    [...Object.keys(rows[0]), ...targets.flatMap(({ name }) => [`${name}_median`, `${name}_p16`, `${name}_p84`]),
      "record_window_Gyr", "p_recorded", "p_major_recent", "ood_score"],
  ];
  rows.forEach((row, n) => {
    let answer;
    try {
      answer = infer(model, measuredOf(model, row), noise);
    } catch (error) {
      throw new Error(`row ${n + 1}: ${error.message}`);
    }
    const summary = targets.flatMap(({ name }) => {
      const sorted = answer.columns[name].slice().sort();
      return [0.5, 0.16, 0.84].map((level) => quantile(sorted, level).toPrecision(6));
    });
    const checks = [answer.recordWindow, answer.recordProbability, answer.majorRecent, answer.oodScore];
    const numbers = checks.map((value) => (value === null ? "" : value.toPrecision(5)));
    lines.push([...Object.values(row), ...summary, ...numbers]);
  });
  const quoted = (cell) => (/[",\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  return lines.map((cells) => cells.map(String).map(quoted).join(",")).join("\n") + "\n";
}

class Explorer {
  constructor(root, pack) {
    this.root = root;
    this.model = unpack(pack);
    this.targets = targetLabels(this.model);
    const { num_members: numMembers } = this.model.flow;
    this.noise = gaussianNoise(numMembers * NUM_SAMPLES * this.model.targets.length, 1);
    this.inputs = this.model.observables.map((map, n) => this.startingInput(map, n));
    this.build();
    this.choose(0);
  }

  /** Slider limits are those of the training clusters; it starts at their mean. */
  startingInput(map, n) {
    const { mean, covariance } = this.model.prior;
    const reach = 3 * Math.sqrt(covariance[n][n]);
    const { lower, upper } = this.model.support ?? {};
    const low = lower?.[n] ?? mean[n] - reach;
    const high = upper?.[n] ?? mean[n] + reach;
    const value = (raw) => (map.is_log ? Math.exp(raw) : raw * (map.unit ?? 1));
    const units = unitsOf(this.model, map);
    const isTime = map.name === this.model.time;
    return {
      map, units, isTime,
      unit: Object.keys(units)[0],
      limits: [value(low), value(high)],
      value: value(mean[n]),
      error: isTime ? 0 : 0.1,
      isMeasured: isTime || map.name === this.model.mass,
    };
  }

  build() {
    this.cards = element("div", { class: "cards" });
    this.numbers = element("div", { class: "numbers" });
    this.live = element("p", { class: "live", "aria-live": "polite" });
    this.planes = element("div", { class: "planes" });
    this.corner = element("canvas", { width: 1200, height: 1200, role: "img" });
    this.cornerPart = element("details", { ontoggle: () => this.draw() },
      element("summary", {}, "Corner view: every pair of targets"), this.corner);
    const results = element("section", { class: "results", "aria-label": "Posterior" },
      this.live, this.numbers, this.cards, this.planes, this.cornerPart);
    this.root.replaceChildren(element("div", { class: "explorer" }, this.panel(), results));
    this.cells = new Map();
    for (const target of this.targets) this.cards.append(this.card(target));
    this.canvases = PAIRS.filter((pair) => pair.every((name) => this.targets.some((t) => t.name === name)))
      .map(([x, y]) => {
        const canvas = element("canvas", { width: 640, height: 480, role: "img" });
        this.planes.append(element("figure", {}, canvas));
        return { canvas, x: this.target(x), y: this.target(y) };
      });
  }

  target(name) {
    return this.targets.find((target) => target.name === name);
  }

  panel() {
    const presets = this.model.clusters ?? [];
    const options = presets.map((cluster, n) => element("option", { value: n }, cluster.name));
    this.preset = element("select", { id: "preset", onchange: () => this.choose(Number(this.preset.value)) }, ...options);
    const rows = this.inputs.map((input) => this.row(input));
    this.message = element("p", { class: "message", role: "alert" });
    this.pasted = element("textarea", {
      id: "pasted", rows: 3, spellcheck: "false",
      placeholder: "redshift,Group_M_Crit500,sigma_Group_M_Crit500\n0.3,14.9,0.05",
    });
    const file = element("input", { type: "file", id: "file", accept: ".csv,.tsv,.txt",
      onchange: () => this.readFile(file.files[0]) });
    const own = element("details", { class: "own" },
      element("summary", {}, "Paste a row, or answer a CSV file"),
      element("label", { for: "pasted" }, "Header and values; columns as in the model, errors as sigma_<column>"),
      this.pasted,
      element("button", { type: "button", onclick: () => this.paste() }, "Show this row"),
      element("label", { for: "file" }, "CSV file (or drop it anywhere on this page)"), file);
    this.root.ondragover = (event) => event.preventDefault();
    this.root.ondrop = (event) => {
      event.preventDefault();
      this.readFile(event.dataTransfer.files[0]);
    };
    return element("section", { class: "panel", "aria-label": "Observables" },
      element("label", { for: "preset" }, "Named cluster"), this.preset, ...rows, own, this.message,
      element("button", { type: "button", onclick: () => this.download() }, "Download this answer (CSV)"));
  }

  row(input) {
    const { map } = input;
    const id = `in-${map.name}`;
    const update = (change) => {
      change();
      this.refresh();
    };
    input.slider = element("input", { type: "range", min: 0, max: 1000, "aria-label": `${map.meaning}, slider`,
      oninput: () => update(() => (input.value = this.fromSlider(input))) });
    input.box = element("input", { type: "number", id, step: "any", inputmode: "decimal",
      onchange: () => update(() => this.fromBox(input)) });
    input.errorBox = input.isTime ? null : element("input", { type: "number", step: "any", min: 0, inputmode: "decimal",
      "aria-label": `error of ${map.meaning}`, onchange: () => update(() => this.fromErrorBox(input)) });
    input.check = input.isTime ? null : element("input", { type: "checkbox", id: `${id}-on`,
      onchange: () => update(() => (input.isMeasured = input.check.checked)) });
    const units = Object.keys(input.units).map((name) => element("option", {}, name));
    input.select = element("select", { "aria-label": `unit of ${map.meaning}`,
      onchange: () => update(() => (input.unit = input.select.value)) }, ...units);
    const measured = input.check && element("label", { class: "switch", for: `${id}-on` }, input.check, "measured");
    const error = input.errorBox && element("span", { class: "error" }, "±", input.errorBox);
    input.node = element("div", { class: "input" },
      element("div", { class: "head" }, element("label", { for: id }, map.meaning), ...(measured ? [measured] : [])),
      input.slider,
      element("div", { class: "boxes" }, input.box, ...(error ? [error] : []), input.select));
    return input.node;
  }

  fromSlider(input) {
    const [low, high] = this.span(input);
    const position = low + ((high - low) * Number(input.slider.value)) / 1000;
    return input.map.is_log ? Math.exp(position) : position;
  }

  /** Limits of a slider; logarithmic where the map is. */
  span(input) {
    return input.map.is_log ? input.limits.map((value) => Math.log(value)) : input.limits;
  }

  fromBox(input) {
    const value = input.units[input.unit].from(Number(input.box.value));
    if (Number.isFinite(value) && input.box.value !== "") input.value = value;
    if (!input.isTime) return;
    const [, latest] = input.limits; // before the record of collisions there is no answer
    input.value = Math.min(Math.max(input.value, 0), latest);
  }

  fromErrorBox(input) {
    const stated = Math.abs(Number(input.errorBox.value));
    const unit = input.units[input.unit];
    const error = unit.error(stated, unit.to(input.value));
    if (Number.isFinite(error)) input.error = error;
  }

  /** Take the values of a preset. */
  choose(number) {
    const cluster = (this.model.clusters ?? [])[number];
    if (cluster) this.take(cluster.measured);
    this.refresh();
  }

  take(measured) {
    for (const input of this.inputs) {
      const entry = measured[input.map.name];
      input.isMeasured = entry !== undefined;
      if (entry) Object.assign(input, { value: entry.value, error: entry.error });
    }
  }

  paste() {
    this.attempt(() => {
      this.take(measuredOf(this.model, readRows(this.pasted.value)[0]));
      this.refresh();
    });
  }

  attempt(action) {
    this.message.textContent = "";
    try {
      action();
    } catch (error) {
      this.message.textContent = error.message;
    }
  }

  async readFile(file) {
    if (!file) return;
    const text = await file.text();
    this.attempt(() => {
      const rows = readRows(text);
      this.save(answerTable(this.model, rows, this.noise), `${file.name.replace(/\.\w+$/, "")}_answers.csv`);
      this.message.textContent = `${rows.length} rows answered and saved; the first is shown`;
      this.take(measuredOf(this.model, rows[0]));
      this.refresh();
    });
  }

  download() {
    const row = {};
    for (const [name, { value, error }] of Object.entries(this.measured())) {
      row[name] = String(value);
      if (name !== this.model.time) row[`sigma_${name}`] = String(error);
    }
    this.save(answerTable(this.model, [row], this.noise), "cluster_answer.csv");
  }

  save(text, name) {
    const link = element("a", { download: name, href: URL.createObjectURL(new Blob([text], { type: "text/csv" })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  measured() {
    const used = this.inputs.filter((input) => input.isMeasured);
    return Object.fromEntries(used.map(({ map, value, error, isTime }) => [map.name, { value, error: isTime ? 0 : error }]));
  }

  /** Bring every input up to date, then answer in the next frame. */
  refresh() {
    for (const input of this.inputs) this.showInput(input);
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      this.answer = infer(this.model, this.measured(), this.noise);
      this.draw();
    });
  }

  showInput(input) {
    const unit = input.units[input.unit];
    const value = unit.to(input.value);
    input.box.value = Number(value.toPrecision(5));
    input.select.value = input.unit;
    const [low, high] = this.span(input);
    const position = input.map.is_log ? Math.log(input.value) : input.value;
    input.slider.value = Math.round((1000 * (position - low)) / (high - low));
    input.slider.setAttribute("aria-valuetext", `${shown(value)} ${input.unit}`);
    if (input.errorBox) input.errorBox.value = Number(unit.back(input.error, value).toPrecision(3));
    if (input.check) input.check.checked = input.isMeasured;
    input.node.classList.toggle("missing", !input.isMeasured);
    for (const control of [input.slider, input.box, input.errorBox, input.select]) {
      if (control) control.disabled = !input.isMeasured;
    }
  }

  card(target) {
    const drawing = svg("svg", { viewBox: "0 0 240 92", role: "img" });
    const value = element("p", { class: "value" });
    this.cells.set(target.name, { drawing, value });
    const unit = ` ${axisLabel(target)}`;
    return element("article", { class: "card" },
      element("h3", {}, target.label, element("span", { class: "unit" }, unit)), value, drawing);
  }

  draw() {
    const { answer } = this;
    if (!answer) return;
    this.sorted = new Map(this.targets.map(({ name }) => [name, answer.columns[name].slice().sort()]));
    for (const target of this.targets) this.drawMarginal(target);
    this.drawNumbers();
    for (const plane of this.canvases) this.drawPlane(plane);
    if (this.cornerPart.open) this.drawCorner();
  }

  drawMarginal(target) {
    const sorted = this.sorted.get(target.name);
    const [median, low, high] = [0.5, 0.16, 0.84].map((level) => quantile(sorted, level));
    const { drawing, value } = this.cells.get(target.name);
    value.replaceChildren(element("strong", {}, shown(median)), ` (${shown(low)} to ${shown(high)})`);
    const [first, last] = this.range(target);
    const x = (number) => 4 + (232 * (number - first)) / (last - first);
    const counts = histogram(sorted, first, last);
    const top = Math.max(...counts);
    const corners = counts.map((count, bin) => `${x(first + ((bin + 0.5) * (last - first)) / NUM_BINS)},${70 - (62 * count) / top}`);
    const ticks = [first, (first + last) / 2, last].map((number, n) =>
      svg("text", { x: x(number), y: 86, "text-anchor": ["start", "middle", "end"][n] }, shown(number)));
    drawing.setAttribute("aria-label",
      `${target.label}: median ${shown(median)}, 68 % between ${shown(low)} and ${shown(high)} ${target.unit}`);
    drawing.replaceChildren(
      svg("rect", { class: "interval", x: x(low), y: 4, width: Math.max(x(high) - x(low), 1), height: 66 }),
      svg("polygon", { class: "density", points: `${x(first)},70 ${corners.join(" ")} ${x(last)},70` }),
      svg("line", { class: "median", x1: x(median), x2: x(median), y1: 4, y2: 70 }),
      svg("line", { class: "axis", x1: 4, x2: 236, y1: 70, y2: 70 }), ...ticks);
  }

  /** What an axis spans: nearly all samples, a time from zero to the window of the record. */
  range(target) {
    if (target.name === SINCE.name) return [0, this.answer.recordWindow];
    if (target.name === this.model.mass_ratio) return [0, 1];
    const sorted = this.sorted.get(target.name);
    const [first, last] = [quantile(sorted, 0.003), quantile(sorted, 0.997)];
    return [first, last > first ? last : first + 1];
  }

  drawNumbers() {
    const { answer, model } = this;
    const { ratio, recent_gyr: recent } = model.major;
    const percent = (share) => (share === null ? "–" : `${(100 * share).toFixed(0)} %`);
    const score = answer.oodScore;
    const entries = [
      ["Collision recorded", percent(answer.recordProbability),
        `selection probability: a collision within the last ${shown(answer.recordWindow)} Gyr is in the record`],
      ["Recent major merger", percent(answer.majorRecent),
        `mass ratio above ${ratio} within ${recent} Gyr, whether or not a collision is recorded`],
      ["OOD score", score === null ? "–" : score.toFixed(2), "percentile of the distance among training clusters measured alike"],
    ];
    const warnings = answer.outOfRange.map(([name, side]) => `${this.meaning(name)} ${side} all training clusters`);
    if (score !== null && score > ALARM) warnings.push("observables unlike 99 % of the training clusters taken together");
    const cells = entries.map(([name, value, meaning]) =>
      element("div", { class: "number" }, element("span", { class: "name" }, name), element("strong", {}, value),
        element("span", { class: "meaning" }, meaning)));
    const flags = warnings.map((text) => element("p", { class: "flag" }, `⚠ The model may not apply: ${text}.`));
    this.numbers.replaceChildren(...cells, ...flags);
    const lead = this.targets[0];
    const sorted = this.sorted.get(lead.name);
    const [median, low, high] = [0.5, 0.16, 0.84].map((level) => shown(quantile(sorted, level)));
    this.live.textContent = `${lead.label}: ${median} ${lead.unit}, 68 % between ${low} and ${high}, if a collision is recorded.`;
  }

  meaning(name) {
    return this.model.observables.find((map) => map.name === name).meaning;
  }

  drawPlane({ canvas, x, y }) {
    const frame = { left: 78, top: 12, width: 546, height: 396 };
    const context = clean(canvas);
    this.drawCells(context, frame, x, y, 36);
    this.drawAxes(context, frame, x, y, 20);
    canvas.setAttribute("aria-label", `Posterior samples of ${y.label} against ${x.label}`);
  }

  drawCorner() {
    const context = clean(this.corner);
    const count = this.targets.length;
    const cell = 1100 / count;
    this.targets.forEach((y, row) => this.targets.slice(0, row + 1).forEach((x, column) => {
      const frame = { left: 90 + column * cell, top: 10 + row * cell, width: cell - 10, height: cell - 10 };
      if (row === column) this.drawBars(context, frame, x);
      else this.drawCells(context, frame, x, y, 24);
      const isLast = row === count - 1;
      this.drawAxes(context, frame, isLast ? x : null, column === 0 && row > 0 ? y : null, 15, (target) => target.symbol);
    }));
    this.corner.setAttribute("aria-label", "Posterior samples of every pair of targets");
  }

  drawBars(context, frame, target) {
    const [first, last] = this.range(target);
    const counts = histogram(this.sorted.get(target.name), first, last);
    const top = Math.max(...counts);
    context.fillStyle = colour(this.root, "--density");
    counts.forEach((count, bin) => {
      const height = (frame.height * count) / top;
      const width = frame.width / NUM_BINS;
      context.fillRect(frame.left + bin * width, frame.top + frame.height - height, width + 0.5, height);
    });
  }

  /** Two-dimensional histogram, darker where samples are denser. */
  drawCells(context, frame, x, y, numCells) {
    const [left, right] = this.range(x);
    const [bottom, top] = this.range(y);
    const counts = new Float64Array(numCells * numCells);
    const xs = this.answer.columns[x.name];
    const ys = this.answer.columns[y.name];
    for (let n = 0; n < xs.length; n++) {
      const i = Math.floor((numCells * (xs[n] - left)) / (right - left));
      const j = Math.floor((numCells * (ys[n] - bottom)) / (top - bottom));
      if (i >= 0 && i < numCells && j >= 0 && j < numCells) counts[j * numCells + i]++;
    }
    const most = Math.max(...counts);
    const [width, height] = [frame.width / numCells, frame.height / numCells];
    context.fillStyle = colour(this.root, "--density");
    counts.forEach((count, index) => {
      if (!count) return;
      const [i, j] = [index % numCells, Math.floor(index / numCells)];
      context.globalAlpha = 0.12 + 0.88 * Math.sqrt(count / most);
      context.fillRect(frame.left + i * width, frame.top + frame.height - (j + 1) * height, width + 0.5, height + 0.5);
    });
    context.globalAlpha = 1;
  }

  drawAxes(context, frame, x, y, size, labelled = axisLabel) {
    context.strokeStyle = colour(this.root, "--line");
    context.fillStyle = colour(this.root, "--text");
    context.font = `${size}px system-ui, sans-serif`;
    context.strokeRect(frame.left, frame.top, frame.width, frame.height);
    if (x) {
      const [first, last] = this.range(x);
      const base = frame.top + frame.height + size + 4;
      context.textAlign = "left";
      context.fillText(shown(first), frame.left, base);
      context.textAlign = "right";
      context.fillText(shown(last), frame.left + frame.width, base);
      context.textAlign = "center";
      context.fillText(labelled(x), frame.left + frame.width / 2, base + size + 4);
    }
    if (!y) return;
    const [first, last] = this.range(y);
    context.textAlign = "right";
    context.fillText(shown(first), frame.left - 6, frame.top + frame.height);
    context.fillText(shown(last), frame.left - 6, frame.top + size);
    context.save();
    context.translate(frame.left - size - 8, frame.top + frame.height / 2);
    context.rotate(-Math.PI / 2);
    context.textAlign = "center";
    context.fillText(labelled(y), 0, 0);
    context.restore();
  }
}

function colour(root, name) {
  return getComputedStyle(root).getPropertyValue(name).trim() || "#0072b2";
}

function clean(canvas) {
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  return context;
}

function histogram(sorted, first, last) {
  const counts = new Array(NUM_BINS).fill(0);
  for (const value of sorted) {
    const bin = Math.floor((NUM_BINS * (value - first)) / (last - first));
    if (bin >= 0 && bin < NUM_BINS) counts[bin]++;
  }
  // a running mean of three bins: 2,000 samples are few for a line
  return counts.map((count, bin) => (count + (counts[bin - 1] ?? count) + (counts[bin + 1] ?? count)) / 3);
}

/** Fill an element with an explorer of a packed model. */
export function start(root, pack) {
  return new Explorer(root, pack);
}
