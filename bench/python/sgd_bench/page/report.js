/* report.js - what the page does: filters, the choice of a run, sorting, and when figures are drawn. */
'use strict';
{
  const DATA = JSON.parse(document.getElementById('data').textContent);
  const FACETS = DATA.facets;
  const form = document.querySelector('.filters'), table = document.getElementById('cases'), body = table.tBodies[0];
  const rows = [...body.rows];
  const every = (selector, act) => document.querySelectorAll(selector).forEach(act);
  const runChosen = () => Number(document.querySelector('[name=run]:checked')?.value || 0);

  /* What the filters let through: {facet: [values]}, facets without a choice left out. */
  function chosen() {
    const choice = {};
    every('.filters [aria-pressed=true]', button => (choice[button.dataset.facet] ||= []).push(button.dataset.value));
    every('.filters select', select => { if (select.value) choice[select.dataset.facet] = [select.value]; });
    return Object.entries(choice);
  }
  const passes = (item, choice) =>
    choice.every(([facet, values]) => item[facet] == null || values.includes(String(item[facet])));

  function figureOf(panel, run, choice, look) {
    const {kind, key} = panel.dataset;
    const hasSpeed = item => item.ns !== null && !(item.ours && item.bits === 'wrong');
    const cases = run.cases.filter(item => hasSpeed(item) && passes(item, choice));
    const here = cases.filter(item => item.shapes === key);
    if (kind === 'ratio') {
      const found = here.filter(item => item.ratio && item.ours);
      return found.length ? ratioFigure(found, FACETS, look) : null;
    }
    if (kind === 'limit') {
      const limits = run.limits.filter(limit => limit.shapes === key && limit.gbps !== null && passes(limit,
        choice.filter(([facet]) => facet !== 'path' && facet !== 'implementation')));
      const found = here.filter(item => item.gbps !== null);
      return found.length ? limitFigure(found, limits, FACETS, look) : null;
    }
    if (kind === 'slope') {
      const found = run.slopes.filter(slope => slope[key] !== null && passes(slope, choice));
      return found.length ? slopeFigure(found, key, FACETS, look) : null;
    }
    const ladder = LADDERS[document.getElementById('ladder-what').value];
    const found = cases.filter(item => item.dtype === key && item.shapes.startsWith(DATA.ladder))
      .filter(item => item.footprint && ladder.of(item));
    return found.length ? ladderFigure(found, run.caches, FACETS, look, ladder) : null;
  }

  const PAPER_WIDTH = 340;
  let drawing = 0;
  /* Draws panel after panel, and starts again when something changes before the last one; for paper at once, as wide as
   * report.css has it there, since the page is laid out for paper only afterwards. */
  function draw(onPaper = false) {
    const mine = ++drawing, run = DATA.runs[runChosen()], choice = chosen(), look = theme();
    const panels = [...document.querySelectorAll('.panel')];
    document.documentElement.removeAttribute('data-drawn');
    const one = panel => {
      const figure = figureOf(panel, run, choice, look), plot = panel.querySelector('.plot');
      panel.hidden = !figure;
      if (!figure) return;
      if (figure.lanes) plot.style.setProperty('--lanes', figure.lanes + 0.6 * FACETS.dtype.length);
      figure.layout.height = plot.clientHeight;
      if (onPaper) figure.layout.width = PAPER_WIDTH;
      Plotly.react(plot, figure.data, figure.layout, {displayModeBar: false, responsive: true});
    };
    const next = () => {
      if (mine !== drawing) return;
      const until = performance.now() + 30;
      do {
        if (!panels.length) return document.documentElement.setAttribute('data-drawn', '');
        one(panels.shift());
      } while (onPaper || performance.now() < until);
      setTimeout(next);
    };
    next();
  }

  function filterRows() {
    const run = runChosen(), choice = chosen();
    let shown = 0, all = 0;
    for (const row of rows) {
      const mine = Number(row.dataset.run) === run;
      row.hidden = !mine || !passes(DATA.runs[run].cases[row.dataset.case], choice);
      all += mine;
      shown += !row.hidden;
    }
    form.querySelector('output').textContent = `${shown.toLocaleString('en')} of ${all.toLocaleString('en')} cases`;
  }

  function update() {
    filterRows();
    draw();
  }

  function sort(head) {
    const index = head.cellIndex, down = head.getAttribute('aria-sort') === 'ascending';
    const keyOf = row => {
      const cell = row.cells[index], value = cell.dataset.value;
      return value === undefined ? cell.textContent : value === '' ? NaN : Number(value);
    };
    const compare = (one, other) => typeof one === 'string' ? one.localeCompare(other, 'en', {numeric: true}) : one - other;
    const keyed = rows.map(row => [keyOf(row), row]);
    keyed.sort(([one], [other]) => Number.isNaN(one) || Number.isNaN(other) ? Number.isNaN(one) - Number.isNaN(other)
      : compare(one, other) * (down ? -1 : 1));
    table.querySelectorAll('[aria-sort]').forEach(other => other.removeAttribute('aria-sort'));
    head.setAttribute('aria-sort', down ? 'descending' : 'ascending');
    body.append(...keyed.map(pair => pair[1]));
  }

  /* The same symbols as in the plots, beside the names of implementations. */
  const MARKS = {circle: '<circle cx="6" cy="6" r="4.5"/>', square: '<path d="M2 2h8v8h-8z"/>',
    'triangle-up': '<path d="M6 1.5l5 9h-10z"/>', diamond: '<path d="M6 .8l5.2 5.2-5.2 5.2-5.2-5.2z"/>',
    star: '<path d="M6 1v10M1 6h10"/>'};
  every('.symbol', mark => {
    const symbol = symbolOf(mark.dataset.symbol), open = symbol.endsWith('-open');
    mark.innerHTML = `<svg viewBox="0 0 12 12" fill="${open ? 'none' : 'currentColor'}" stroke="currentColor"
      stroke-width="1.5">${MARKS[symbol.replace('-open', '')]}</svg>`;
  });

  form.addEventListener('click', event => {
    const button = event.target.closest('[aria-pressed]');
    if (!button) return;
    button.setAttribute('aria-pressed', button.getAttribute('aria-pressed') !== 'true');
    update();
  });
  form.addEventListener('change', update);
  form.addEventListener('submit', event => event.preventDefault());
  form.addEventListener('reset', () => {
    every('.filters [aria-pressed]', button => button.setAttribute('aria-pressed', false));
    setTimeout(update);
  });
  every('[name=run]', choice => choice.addEventListener('change', () => {
    every('div[data-run]', part => { part.hidden = Number(part.dataset.run) !== runChosen(); });
    update();
  }));
  document.getElementById('ladder-what')?.addEventListener('change', () => draw());
  table.tHead.addEventListener('click', event => event.target.closest('button') && sort(event.target.closest('th')));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => draw());
  matchMedia('print').addEventListener('change', event => draw(event.matches));
  update();
}
