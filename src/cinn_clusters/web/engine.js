// The posterior of a packed model, in plain JavaScript: the arithmetic of the Python package,
// module by module (data/measurement, flows/autoregressive, ood/support, posterior/collision).
// Nothing here touches a document, so that it runs in a page, in a widget and in Node alike.

const MAX_OFFSET = 100; // deviations beyond which a value tells no more of the others
const MIN_SHARE = 1e-3;
const MIN_SLOPE = 1e-3;
const UNIT_SLOPE = Math.log(Math.expm1(1 - MIN_SLOPE));
const SATURATION = 15;
const MAX_SQUARED = 1000;
const ROUNDED = 1e-8; // knots are packed with nine digits
const KM_A_MPC = 3.0856775814913673e19;
const SECONDS_A_GYR = 3.15576e16;

/** Model ready to be asked: the block of weights decoded, every place turned into an array. */
export function unpack(pack) {
  const bytes = Uint8Array.from(atob(pack.weights), (letter) => letter.charCodeAt(0));
  const block = Float64Array.from(new Float32Array(bytes.buffer));
  return { ...resolved(pack, block), weights: undefined };
}

function resolved(value, block) {
  if (Array.isArray(value)) return value.map((entry) => resolved(entry, block));
  if (value === null || typeof value !== "object") return value;
  if ("begin" in value && "shape" in value) {
    const size = value.shape.reduce((product, length) => product * length, 1);
    return { shape: value.shape, data: block.subarray(value.begin, value.begin + size) };
  }
  const entries = Object.entries(value);
  return Object.fromEntries(entries.map(([key, entry]) => [key, resolved(entry, block)]));
}

// ---- clocks ------------------------------------------------------------------------------------

/** Redshift of a lookback time [Gyr] in the flat universe without radiation of the catalogue. */
export function redshiftAtLookback(model, lookback) {
  const { hubble_constant: hubble, omega_matter: matter } = model.clock;
  const rate = 1.5 * hubble * Math.sqrt(1 - matter) * (SECONDS_A_GYR / KM_A_MPC);
  const ratio = Math.sqrt((1 - matter) / matter);
  const present = Math.asinh(ratio);
  return Math.pow(ratio / Math.sinh(present - rate * lookback), 2 / 3) - 1;
}

/** Lookback time [Gyr] of a redshift. */
export function lookbackAtRedshift(model, redshift) {
  const { hubble_constant: hubble, omega_matter: matter } = model.clock;
  const rate = 1.5 * hubble * Math.sqrt(1 - matter) * (SECONDS_A_GYR / KM_A_MPC);
  const ratio = Math.sqrt((1 - matter) / matter);
  return (Math.asinh(ratio) - Math.asinh(ratio * Math.pow(1 + redshift, -1.5))) / rate;
}

/** Planck 2015 cosmic age [Gyr] at a lookback time of the catalogue. */
export function ageAtLookback(model, lookback) {
  const { ages, max_redshift: last } = model.clock;
  const share = Math.log1p(redshiftAtLookback(model, lookback)) / Math.log1p(last);
  const position = Math.min(Math.max(share, 0), 1) * (ages.length - 1);
  const index = Math.min(Math.floor(position), ages.length - 2);
  return ages[index] + (position - index) * (ages[index + 1] - ages[index]);
}

// ---- observables -------------------------------------------------------------------------------

/** Values and errors as the maps take them, from measured = {name: {value, error}}. */
export function rawValues(model, measured) {
  const values = [];
  const errors = [];
  for (const map of model.observables) {
    const { value = NaN, error = 0 } = measured[map.name] ?? {};
    const unit = map.unit ?? 1;
    const floor = map.floor ?? 0;
    const raw = map.is_log ? Math.log(Math.max(value, floor)) : value / unit;
    const isMissing = !Number.isFinite(raw) || Number.isNaN(error);
    const scale = map.is_log ? Math.LN10 : 1 / unit; // errors of logarithms are in dex
    values.push(isMissing ? NaN : raw);
    errors.push(isMissing ? Infinity : error * scale);
  }
  return { values, errors };
}

/** Lower triangle of a Cholesky factor, rows of rows. */
function cholesky(matrix) {
  const lower = matrix.map((row) => row.map(() => 0));
  for (let i = 0; i < matrix.length; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = matrix[i][j];
      for (let k = 0; k < j; k++) sum -= lower[i][k] * lower[j][k];
      lower[i][j] = i === j ? Math.sqrt(sum) : sum / lower[j][j];
    }
  }
  return lower;
}

function solve(lower, right) {
  const size = lower.length;
  const x = right.slice();
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < i; k++) x[i] -= lower[i][k] * x[k];
    x[i] /= lower[i][i];
  }
  for (let i = size - 1; i >= 0; i--) {
    for (let k = i + 1; k < size; k++) x[i] -= lower[k][i] * x[k];
    x[i] /= lower[i][i];
  }
  return x;
}

/** What was measured, C_oo + R factored, and o - m_o, as in Rodgers 2000, eq. 2.45. */
function measurement(gaussian, values, errors) {
  const isMeasured = values.map((value, n) => Number.isFinite(value) && Number.isFinite(errors[n]));
  const total = gaussian.covariance.map((row, i) =>
    row.map((covariance, j) => {
      if (i !== j) return isMeasured[i] && isMeasured[j] ? covariance : 0;
      return isMeasured[i] ? covariance + errors[i] ** 2 : 1;
    }),
  );
  const offset = values.map((value, n) => {
    if (!isMeasured[n]) return 0;
    const reach = MAX_OFFSET * Math.sqrt(gaussian.covariance[n][n]);
    return Math.min(Math.max(value - gaussian.mean[n], -reach), reach);
  });
  return { isMeasured, factor: cholesky(total), offset };
}

/** Mean and covariance of the true observables given the measured ones. */
export function condition(gaussian, values, errors) {
  const { isMeasured, factor, offset } = measurement(gaussian, values, errors);
  const weights = solve(factor, offset);
  const rows = gaussian.covariance.map((row) => row.map((value, n) => (isMeasured[n] ? value : 0)));
  const gains = rows.map((row) => solve(factor, row));
  const isExact = values.map((_, n) => isMeasured[n] && errors[n] === 0);
  const mean = values.map((value, i) => {
    if (isExact[i]) return value;
    return gaussian.mean[i] + dot(rows[i], weights);
  });
  const covariance = gaussian.covariance.map((row, i) =>
    row.map((value, j) => (isExact[i] || isExact[j] ? 0 : value - dot(rows[i], gains[j]))),
  );
  return { mean, covariance };
}

function dot(left, right) {
  return left.reduce((sum, value, n) => sum + value * right[n], 0);
}

/** Features of the network: standardised means, then deviations of all but the time. */
export function features(model, conditioned) {
  const { observables } = model;
  const names = observables.map((map) => map.name);
  const matrix = observables.map((map, row) => {
    const entries = observables.map(() => 0);
    entries[row] = 1 / map.scale;
    if (map.relative_to) {
      const reference = names.indexOf(map.relative_to);
      entries[reference] -= (observables[reference].unit ?? 1) / map.scale;
    }
    return entries;
  });
  const means = observables.map((map, row) => {
    const x = dot(matrix[row], conditioned.mean) - map.shift / map.scale;
    const clip = map.clip ?? Infinity;
    return Math.min(Math.max(x, -clip), clip);
  });
  const deviations = [];
  matrix.forEach((row, n) => {
    if (names[n] === model.time) return;
    const product = conditioned.covariance.map((column) => dot(column, row));
    deviations.push(Math.sqrt(Math.max(dot(row, product), 0)));
  });
  return [...means, ...deviations];
}

// ---- flow --------------------------------------------------------------------------------------

/** One hidden vector a member: the part of the first layer that depends on x alone. */
function ofObservables(step, member, x) {
  const [, numHidden, numFeatures] = step.of_x.shape;
  const hidden = new Float64Array(numHidden);
  for (let h = 0; h < numHidden; h++) {
    let sum = step.bias.data[member * numHidden + h];
    const begin = (member * numHidden + h) * numFeatures;
    for (let n = 0; n < numFeatures; n++) sum += step.of_x.data[begin + n] * x[n];
    hidden[h] = sum;
  }
  return hidden;
}

/** Sum of weights times inputs, from a row of a flat matrix. */
function product(weights, begin, inputs, count) {
  let sum = 0;
  for (let n = 0; n < count; n++) sum += weights[begin + n] * inputs[n];
  return sum;
}

/** Inverse of an autoregression: target d needs the hidden units of degree up to d only. */
function invertAutoregression(step, member, base, u, scratch) {
  const [, numHidden, numTargets] = step.of_targets.shape;
  const numParameters = step.outputs.shape[2];
  const ofTargets = step.of_targets.data;
  const outputs = step.outputs.data;
  const outputBias = step.output_bias.data;
  const { layers, parameters } = scratch;
  const last = layers[step.hidden.length];
  const firstUnit = member * numHidden;
  let begin = 0;
  for (let target = 0; target < numTargets; target++) {
    const end = step.ends[target];
    for (let h = begin; h < end; h++) {
      const sum = base[h] + product(ofTargets, (firstUnit + h) * numTargets, u, target);
      layers[0][h] = sum > 0 ? sum : 0;
    }
    for (let layer = 0; layer < step.hidden.length; layer++) {
      const weights = step.hidden[layer].data;
      const biases = step.hidden_biases[layer].data;
      for (let h = begin; h < end; h++) {
        const unit = firstUnit + h;
        const sum = biases[unit] + product(weights, unit * numHidden, layers[layer], end);
        layers[layer + 1][h] = sum > 0 ? sum : 0;
      }
    }
    begin = end;
    const first = (member * numTargets + target) * numParameters;
    for (let p = 0; p < numParameters; p++) {
      const row = first + p;
      parameters[p] = outputBias[row] + product(outputs, row * numHidden, last, end);
    }
    u[target] = invertSpline(u[target], parameters, step.num_bins, step.bound);
  }
}

function softplus(value) {
  return Math.max(value, 0) + Math.log1p(Math.exp(-Math.abs(value)));
}

function exponentials(parameters, begin, count) {
  let largest = -Infinity;
  for (let n = 0; n < count; n++) largest = Math.max(largest, parameters[begin + n]);
  let sum = 0;
  for (let n = 0; n < count; n++) {
    parameters[begin + n] = Math.exp(parameters[begin + n] - largest);
    sum += parameters[begin + n];
  }
  return sum;
}

/** Rational-quadratic spline of Durkan+19 solved for its argument (eqs. 6-8), identity outside. */
function invertSpline(z, parameters, numBins, bound) {
  if (!(Math.abs(z) < bound)) return z;
  const sumOfWidths = exponentials(parameters, 0, numBins);
  const sumOfHeights = exponentials(parameters, numBins, numBins);
  const least = MIN_SHARE / numBins;
  let left = -bound;
  let bottom = -bound;
  for (let bin = 0; bin < numBins; bin++) {
    const share = ((1 - MIN_SHARE) * parameters[bin]) / sumOfWidths;
    const rise = ((1 - MIN_SHARE) * parameters[numBins + bin]) / sumOfHeights;
    const width = 2 * bound * (least + share);
    const height = 2 * bound * (least + rise);
    if (z < bottom + height || bin === numBins - 1) {
      const slope = bin === 0 ? 1 : innerSlope(parameters[2 * numBins + bin - 1]);
      const next = bin === numBins - 1 ? 1 : innerSlope(parameters[2 * numBins + bin]);
      return left + width * solveBin((z - bottom) / height, height / width, slope, next);
    }
    left += width;
    bottom += height;
  }
  return z;
}

function innerSlope(raw) {
  return MIN_SLOPE + softplus(raw + UNIT_SLOPE);
}

function solveBin(rise, mean, slope, next) {
  const bent = rise * (next + slope - 2 * mean);
  const a = mean - slope + bent;
  const b = slope - bent;
  const c = -mean * rise;
  const root = Math.sqrt(Math.max(b * b - 4 * a * c, 0));
  return Math.min(Math.max((2 * c) / (-b - root), 0), 1);
}

function invertAffine(step, member, u, scratch) {
  const [numMembers, size] = step.shift.shape;
  const own = member % numMembers; // a permutation is the same for all members
  for (let j = 0; j < size; j++) {
    let sum = step.shift.data[own * size + j];
    for (let i = 0; i < size; i++) sum += u[i] * step.matrix.data[(own * size + i) * size + j];
    scratch.mixed[j] = sum;
  }
  for (let j = 0; j < size; j++) u[j] = scratch.mixed[j];
}

/** Turn Gaussian noise (K P, D), members in turn, into u of the same shape. */
export function invertFlow(model, x, noise) {
  const { num_members: numMembers, steps } = model.flow;
  const size = model.targets.length;
  const networks = steps.filter((step) => step.kind === "autoregression");
  const units = Math.max(...networks.map((step) => step.bias.shape[1]));
  const depth = Math.max(...networks.map((step) => step.hidden.length)) + 1;
  const scratch = {
    layers: Array.from({ length: depth }, () => new Float64Array(units)),
    parameters: new Float64Array(Math.max(...networks.map((step) => step.outputs.shape[2]))),
    mixed: new Float64Array(size),
  };
  const samples = Float64Array.from(noise);
  const numEach = samples.length / size / numMembers;
  for (let member = 0; member < numMembers; member++) {
    const bases = steps.map((step) => step.kind === "affine" || ofObservables(step, member, x));
    for (let n = 0; n < numEach; n++) {
      const begin = (member * numEach + n) * size;
      const u = samples.subarray(begin, begin + size);
      steps.forEach((step, number) => {
        if (step.kind === "affine") invertAffine(step, member, u, scratch);
        else invertAutoregression(step, member, bases[number], u, scratch);
      });
    }
  }
  return samples;
}

// ---- physical units ----------------------------------------------------------------------------

function sigmoid(value) {
  return 1 / (1 + Math.exp(-value));
}

function limits(map) {
  return map.is_log ? [Math.log(map.lower), Math.log(map.upper)] : [map.lower, map.upper];
}

/** Raw value of the observable that a target is measured from, or the cosmic age. */
function anchors(model, conditioned, age) {
  const names = model.observables.map((map) => map.name);
  return model.targets.map((map) => {
    if (!map.relative_to) return age;
    const entry = model.observables[names.indexOf(map.relative_to)];
    const reference = conditioned.mean[names.indexOf(map.relative_to)] * (entry.unit ?? 1);
    const value = Math.pow(10, reference - (map.reference_unit ?? 0));
    const absolute = map.is_log ? Math.log(value) : value;
    if (map.bijection === "identity") return absolute;
    const [lower, upper] = limits(map);
    return Math.log(absolute - lower) - Math.log(upper - absolute);
  });
}

/** Value of a target that belongs to an unbounded one: always inside the bounds. */
function physical(map, u, anchor) {
  const raw = u * map.scale + map.shift + (map.relative_to ? anchor : 0);
  if (map.bijection === "identity") return map.is_log ? Math.exp(raw) : raw;
  if (map.bijection === "window") {
    const width = anchor - map.lower;
    const depth = Math.min(Math.max(Math.exp(raw) / width, Math.exp(-SATURATION)), SATURATION);
    return map.lower + width * Math.exp(-depth);
  }
  const share = sigmoid(Math.min(Math.max(raw, -SATURATION), SATURATION));
  if (map.bijection === "age") return anchor * (1 - share);
  const [lower, upper] = limits(map);
  const value = lower + (upper - lower) * share;
  return map.is_log ? Math.exp(value) : value;
}

// ---- does it apply -----------------------------------------------------------------------------

/** log of the chance that chi-squared exceeds a value, by Q(a + 1, x) = Q(a, x) + x^a e^-x / a!. */
export function logChiSquaredTail(squared, degrees) {
  const x = squared / 2;
  let a = degrees % 2 === 0 ? 1 : 0.5;
  let scaled = degrees % 2 === 0 ? 1 : scaledErfc(Math.sqrt(x)); // Q(a, x) e^x
  let term = degrees % 2 === 0 ? x : 2 * Math.sqrt(x / Math.PI); // x^a / Gamma(a + 1)
  for (; a < degrees / 2; a++) {
    scaled += term;
    term *= x / (a + 1);
  }
  return Math.log(scaled) - x;
}

/** exp(t^2) erfc(t): a series below 2, a continued fraction above (Abramowitz & Stegun 7.1.5-14). */
function scaledErfc(t) {
  if (t < 2) {
    let term = t;
    let sum = t;
    for (let n = 1; n < 60; n++) {
      term *= (-t * t) / n;
      sum += term / (2 * n + 1);
    }
    return Math.exp(t * t) * (1 - (2 / Math.sqrt(Math.PI)) * sum);
  }
  let fraction = 0;
  for (let n = 60; n > 0; n--) fraction = n / 2 / (t + fraction);
  return 1 / (Math.sqrt(Math.PI) * (t + fraction));
}

/** Percentile of an object among training clusters of which the same was measured. */
export function oodScore(model, values, errors) {
  if (!model.support) return null; // a posterior alone does not know where it was trained
  const { mean, covariance, distances } = model.support;
  const { isMeasured, factor, offset } = measurement({ mean, covariance }, values, errors);
  const squared = Math.min(dot(offset, solve(factor, offset)), MAX_SQUARED);
  const degrees = isMeasured.filter(Boolean).length;
  const rarity = degrees ? -logChiSquaredTail(squared, degrees) / Math.LN10 : 0;
  const optional = isMeasured.filter((_, n) => model.observables[n].name !== model.time);
  const group = optional.reduce((number, isThere, bit) => number + (isThere ? 1 << bit : 0), 0);
  return percentile(rarity, distances[group]);
}

function percentile(value, knots) {
  const last = knots.length - 1;
  if (value > knots[last] + ROUNDED) return 1;
  if (value < knots[0] - ROUNDED) return 0;
  let index = 0;
  while (index < last - 1 && value >= knots[index + 1] - ROUNDED) index++;
  const width = knots[index + 1] - knots[index];
  const share = width > 0 ? (value - knots[index]) / width : 1;
  return ((index + Math.min(Math.max(share, 0), 1)) / last) * (1 - 1e-6);
}

/** Observables that lie beyond all training clusters by two errors. */
export function outOfRange(model, values, errors) {
  const { lower = [], upper = [] } = model.support ?? {};
  const names = [];
  values.forEach((value, n) => {
    const margin = Number.isFinite(errors[n]) ? 2 * errors[n] : 0;
    if (value - margin > upper[n]) names.push([model.observables[n].name, "above"]);
    if (value + margin < lower[n]) names.push([model.observables[n].name, "below"]);
  });
  return names;
}

/** P(recorded | x): the mean over members of a calibrated classifier. */
export function recordProbability(model, x) {
  const { layers, intercept, slope } = model.selection;
  const [numMembers] = layers[0].weight.shape;
  let sum = 0;
  for (let member = 0; member < numMembers; member++) {
    let hidden = Float64Array.from(x);
    layers.forEach(({ weight, bias }, number) => {
      const [, numOutputs, numInputs] = weight.shape;
      const next = new Float64Array(numOutputs);
      for (let j = 0; j < numOutputs; j++) {
        let total = bias.data[member * numOutputs + j];
        const row = (member * numOutputs + j) * numInputs;
        for (let i = 0; i < numInputs; i++) total += weight.data[row + i] * hidden[i];
        next[j] = number < layers.length - 1 ? Math.max(total, 0) : total;
      }
      hidden = next;
    });
    sum += sigmoid(intercept + slope * hidden[0]);
  }
  return sum / numMembers;
}

// ---- the answer --------------------------------------------------------------------------------

/** Quantile of sorted numbers, with linear interpolation. */
export function quantile(sorted, level) {
  const position = level * (sorted.length - 1);
  const index = Math.min(Math.floor(position), sorted.length - 2);
  return sorted[index] + (position - index) * (sorted[index + 1] - sorted[index]);
}

/** Shortest interval that holds a share of sorted numbers (Chen & Shao 1999). */
export function shortestInterval(sorted, level) {
  const count = Math.ceil(level * sorted.length);
  let best = 0;
  for (let n = 0; n + count <= sorted.length; n++) {
    const width = sorted[n + count - 1] - sorted[n];
    if (width < sorted[best + count - 1] - sorted[best]) best = n;
  }
  return [sorted[best], sorted[best + count - 1]];
}

/** Gaussian numbers of a seed: mulberry32 and the polar method of Marsaglia. */
export function gaussianNoise(count, seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  const noise = new Float64Array(count + 1);
  for (let n = 0; n < count; n += 2) {
    let a, b, squared;
    do {
      a = 2 * uniform() - 1;
      b = 2 * uniform() - 1;
      squared = a * a + b * b;
    } while (squared >= 1 || squared === 0);
    const radius = Math.sqrt((-2 * Math.log(squared)) / squared);
    noise[n] = a * radius;
    noise[n + 1] = b * radius;
  }
  return noise.subarray(0, count);
}

/**
 * Posterior of one object.
 *
 * measured: {name: {value, error}} in the units of the model; a name that is absent is not measured.
 * noise: Gaussian numbers (K P, D). Returns columns of samples by name, with the time since the
 * collision first, and what says whether they apply.
 */
export function infer(model, measured, noise) {
  const { values, errors } = rawValues(model, measured);
  const conditioned = condition(model.prior, values, errors);
  const x = features(model, conditioned);
  const lookback = measured[model.time].value;
  const age = ageAtLookback(model, lookback);
  const u = invertFlow(model, x, noise);
  const size = model.targets.length;
  const numSamples = u.length / size;
  const anchor = anchors(model, conditioned, age);
  const columns = {};
  model.targets.forEach((map, d) => {
    const column = new Float64Array(numSamples);
    for (let n = 0; n < numSamples; n++) column[n] = physical(map, u[n * size + d], anchor[d]);
    columns[map.name] = column;
  });
  const since = columns[model.collision_time]?.map((time) => age - time);
  const record = model.selection ? recordProbability(model, x) : null;
  return {
    columns: since ? { time_since_collision_Gyr: since, ...columns } : columns,
    age,
    recordWindow: age - model.record_begin,
    recordProbability: record,
    majorRecent: since && record !== null ? record * majorRecentShare(model, since, columns) : null,
    oodScore: oodScore(model, values, errors),
    outOfRange: outOfRange(model, values, errors),
  };
}

function majorRecentShare(model, since, columns) {
  const { ratio, recent_gyr: recent } = model.major;
  const ratios = columns[model.mass_ratio];
  let count = 0;
  since.forEach((time, n) => {
    if (time < recent && ratios[n] > ratio) count++;
  });
  return count / since.length;
}
