/* figures.js - cases to Plotly figures.  Colour says the path, symbol the implementation, everywhere. */
'use strict';

const SYMBOLS = {single_pass: 'circle', by_op: 'square', python: 'triangle-up', torch: 'circle-open', compiled: 'diamond-open'};
const DASHES = {single_pass: 'solid', by_op: 'dash', python: 'dashdot', torch: 'dot', compiled: 'longdash'};

/* Of a lane, so that one mark does not hide another. */
const OFFSETS = {python: 0.22, torch: -0.22, compiled: 0.22};

/* Plotly reads a little HTML in its texts. */
const escaped = text => String(text).replace(/[&<>"]/g, sign => `&#${sign.charCodeAt(0)};`);
const symbolOf = implementation => SYMBOLS[implementation] || 'star-open';
const figures = value => value >= 1000 ? Math.round(value).toLocaleString('en') : String(+value.toPrecision(3));

function times(value) {
  return value >= 100 ? `${value.toFixed(0)}×` : value >= 10 ? `${value.toFixed(1)}×` : `${value.toFixed(2)}×`;
}

function scaled(value, units, base) {
  let at = 0;
  while (at + 1 < units.length && value >= base) { value /= base; at++; }
  return `${figures(value)} ${units[at]}`;
}
const time = ns => scaled(ns, ['ns', 'µs', 'ms', 's'], 1000);
const bytes = count => scaled(count, ['B', 'KiB', 'MiB', 'GiB', 'TiB'], 1024);

/* Colours of the page as it is now: light, dark or on paper. */
function theme() {
  const style = getComputedStyle(document.documentElement), read = name => style.getPropertyValue(name).trim();
  return {ink: read('--ink'), soft: read('--soft'), line: read('--line'), ground: read('--ground'), bad: read('--bad'),
    paths: [0, 1, 2, 3, 4].map(index => read(`--path-${index}`))};
}

function layoutOf(look, extra) {
  return Object.assign({
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)', showlegend: false, hovermode: 'closest', dragmode: false,
    font: {family: 'system-ui, sans-serif', size: 12, color: look.ink},
    hoverlabel: {bgcolor: look.ground, bordercolor: look.soft, font: {color: look.ink, size: 12}, align: 'left'},
  }, extra);
}

function axisOf(look, extra) {
  const axis = {gridcolor: look.line, linecolor: look.line, zeroline: false, fixedrange: true, tickfont: {size: 11}};
  return Object.assign(axis, extra);
}

const colorOf = (item, facets, look) => look.paths[facets.path.indexOf(item.path) % look.paths.length];

/* A line from (x, 0) to (x, 1), in parts of the plot's height. */
const upright = (x, line) => ({type: 'line', x0: x, x1: x, yref: 'paper', y0: 0, y1: 1, line});

/* Powers of ten, or with 1, 2, 5 where there are few of them, as ticks of a logarithmic axis from low to high. */
function logTicks(low, high, text) {
  const from = Math.log10(low), to = Math.log10(high), decades = to - from, ticks = [];
  const steps = decades > 2.2 ? [1] : decades > 1.2 ? [1, 3] : [1, 1.5, 2, 3, 5, 7];
  for (let power = Math.floor(from); power <= Math.ceil(to); power++)
    for (const step of steps) {
      const tick = +(step * 10 ** power).toPrecision(2);
      if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
    }
  return {type: 'log', range: [from, to], tickmode: 'array', tickvals: ticks, ticktext: ticks.map(text)};
}

/* Rows of a dot plot: one lane per dtype and path, dtypes apart. */
function lanesOf(items, facets) {
  const lanes = new Map(), marks = [];
  let at = 0;
  for (const dtype of facets.dtype) {
    const start = at;
    for (const path of facets.path)
      if (items.some(item => item.dtype === dtype && item.path === path)) lanes.set(`${dtype} ${path}`, at++);
    if (at > start) {
      marks.push([(start + at - 1) / 2, dtype]);
      at += 0.6;
    }
  }
  return {of: item => lanes.get(`${item.dtype} ${item.path}`), marks, height: at - 0.6, count: lanes.size};
}

/* A dot plot.  items: cases or slopes; x: item to number; label: text on the right, of the first implementation. */
function dotFigure(items, facets, look, {x, hover, label, axis, interval, shapes, room = 54}) {
  const lanes = lanesOf(items, facets), groups = new Map();
  for (const item of items) {
    const key = `${item.path} ${item.implementation}`;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(item);
  }
  const traces = [...groups.values()].map(group => {
    const {implementation} = group[0], color = colorOf(group[0], facets, look), offset = OFFSETS[implementation] || 0;
    const trace = {type: 'scatter', mode: 'markers', x: group.map(x), y: group.map(item => lanes.of(item) + offset),
      hoverinfo: 'text', hovertext: group.map(item => hover(item)),
      marker: {color, size: 9, symbol: symbolOf(implementation), line: {width: 1.5, color}}};
    if (interval)
      trace.error_x = {type: 'data', symmetric: false, color, thickness: 1.5, width: 3,
        array: group.map(item => (interval(item)[1] ?? x(item)) - x(item)),
        arrayminus: group.map(item => x(item) - (interval(item)[0] ?? x(item)))};
    return trace;
  });
  const lead = facets.implementation.find(implementation => items.some(item => item.implementation === implementation));
  return {lanes: lanes.count, data: traces, layout: layoutOf(look, {
    margin: {l: 42, r: room, t: 4, b: 32},
    xaxis: axisOf(look, Object.assign({side: 'bottom'}, axis)),
    yaxis: axisOf(look, {range: [lanes.height - 0.3, -0.7], tickvals: lanes.marks.map(mark => mark[0]),
      ticktext: lanes.marks.map(mark => escaped(mark[1])), showgrid: false, tickfont: {size: 12}}),
    shapes: shapes ? shapes(lanes) : [],
    annotations: items.filter(item => item.implementation === lead).map(item => ({
      x: 1, xref: 'paper', xanchor: 'left', xshift: 6, y: lanes.of(item), text: label(item), showarrow: false,
      font: {size: 11, color: colorOf(item, facets, look)},
    })),
  })};
}

/* Every plot of ratios shows 1, and 4 at least, so that most of them have the same scale. */
function ratioFigure(cases, facets, look) {
  const ends = cases.flatMap(item => item.ratio.slice(0, 3).filter(end => end !== null));
  return dotFigure(cases, facets, look, {
    x: item => item.ratio[0], interval: item => [item.ratio[1], item.ratio[2]],
    label: item => item.ratio[3] === 'slower' ? `<b>${times(item.ratio[0])}</b>` : times(item.ratio[0]),
    hover: item => `${escaped(item.name)}<br><b>${times(item.ratio[0])}</b>, ` + (item.ratio[1] === null
      ? 'too few rounds for an interval' : `95 %: ${times(item.ratio[1])} – ${times(item.ratio[2])}`) +
      `<br>${time(item.ns)} per step`,
    axis: logTicks(Math.min(0.8, ...ends) / 1.1, Math.max(4, ...ends) * 1.1, value => `${figures(value)}×`),
    shapes: () => [upright(1, {color: look.ink, width: 1.5})],
  });
}

function limitFigure(cases, limits, facets, look) {
  const most = Math.max(...cases.map(item => item.gbps), ...limits.map(limit => limit.gbps));
  return dotFigure(cases, facets, look, {
    x: item => item.gbps, label: item => item.share === null ? '' : `${(100 * item.share).toFixed(0)} %`,
    hover: item => `${escaped(item.name)}<br><b>${figures(item.gbps)} GB/s</b>` +
      (item.share === null ? '' : `, ${(100 * item.share).toFixed(0)} % of the limit`) + `<br>${time(item.ns)} per step`,
    axis: {range: [-0.03 * most, 1.06 * most], title: {text: 'GB/s', standoff: 2, font: {size: 11}}, nticks: 6},
    shapes: lanes => limits.flatMap(limit => {
      const rows = facets.path.map(path => lanes.of({dtype: limit.dtype, path})).filter(lane => lane !== undefined);
      return rows.length ? [{type: 'line', x0: limit.gbps, x1: limit.gbps, line: {color: look.ink, width: 2},
        y0: Math.min(...rows) - 0.6, y1: Math.max(...rows) + 0.6}] : [];
    }),
  });
}

/* A cost too small to be told from 0 stands at the left end of the logarithmic axis. */
function slopeFigure(slopes, key, facets, look) {
  const values = slopes.map(slope => slope[key]).filter(value => value > 0), text = value => `${figures(value)} ns`;
  const low = values.length ? Math.min(...values) / 1.5 : 0.1, high = values.length ? Math.max(...values) * 1.3 : 1;
  return dotFigure(slopes, facets, look, {
    room: 66, x: slope => slope[key] || low * 1.03, label: slope => text(slope[key]),
    hover: slope => [slope.path, slope.implementation, slope.dtype].map(escaped).join('/') +
      `<br><b>${text(slope[key])}</b> ${key === 'ns_per_tensor' ? 'per tensor' : 'per byte'}`,
    axis: logTicks(low, high, text),
  });
}

/* What a ladder can show: a case to a number, null where it has none; the number to text. */
const LADDERS = {
  ns: {of: item => item.ns, text: time},
  gbps: {of: item => item.gbps, text: value => `${figures(value)} GB/s`},
  ratio: {of: item => item.ratio && item.ours ? item.ratio[0] : null, text: times},
};

function ladderFigure(cases, caches, facets, look, {of, text}) {
  const lines = new Map();
  for (const item of cases) {
    const key = [item.path, item.implementation, item.threads, item.hyper, item.contract, item.device].join(' ');
    if (!lines.has(key)) lines.set(key, []);
    lines.get(key).push(item);
  }
  const traces = [...lines.values()].map(line => {
    const color = colorOf(line[0], facets, look);
    line.sort((one, other) => one.footprint - other.footprint);
    return {type: 'scatter', mode: 'lines+markers', x: line.map(item => item.footprint), y: line.map(of),
      hoverinfo: 'text', line: {color, width: 1.5, dash: DASHES[line[0].implementation] || 'solid'},
      marker: {color, size: 6, symbol: symbolOf(line[0].implementation)},
      hovertext: line.map(item => `${escaped(item.name)}<br><b>${time(item.ns)}</b> per step` +
        (item.gbps === null ? '' : `, ${figures(item.gbps)} GB/s`) + (item.ratio ? `, ${times(item.ratio[0])} PyTorch` : '') +
        `<br>${bytes(item.footprint)}`)};
  });
  const xs = cases.map(item => item.footprint), ys = cases.map(of);
  const from = Math.min(...xs) / 1.5, to = Math.max(...xs) * 1.5;
  const sizes = [10, 13, 16, 20, 23, 26, 30, 33].map(power => 2 ** power).filter(size => size >= from && size <= to);
  const ends = caches.filter(cache => cache[1] >= from && cache[1] <= to);
  return {data: traces, layout: layoutOf(look, {
    margin: {l: 62, r: 12, t: 18, b: 32},
    xaxis: axisOf(look, {type: 'log', range: [Math.log10(from), Math.log10(to)], tickvals: sizes, ticktext: sizes.map(bytes)}),
    yaxis: axisOf(look, logTicks(Math.min(...ys) / 1.3, Math.max(...ys) * 1.3, text)),
    shapes: [...ends.map(end => upright(end[1], {color: look.soft, width: 1, dash: 'dot'})), ...(of === LADDERS.ratio.of
      ? [{type: 'line', y0: 1, y1: 1, xref: 'paper', x0: 0, x1: 1, line: {color: look.ink, width: 1.5}}] : [])],
    annotations: ends.map(end => ({x: Math.log10(end[1]), y: 1, yref: 'paper', yanchor: 'bottom', text: escaped(end[0]),
      showarrow: false, font: {size: 11, color: look.soft}})),
  })};
}
