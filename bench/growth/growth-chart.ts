/** The points as a picture: a row of panels for each series, what grows along a logarithmic axis, a line for each row. */
import type { Spread } from '../statistics.ts';
import { line, pixels, text } from '../svg.ts';
import type { GrowthPoint } from './points.ts';
import { type FigureName, FIGURES, series, SERIES_NAMES, type SeriesName } from './series.ts';

const TOP = 56;
const HEADING = 26;
const PANEL = { width: 310, height: 210 };
const COLUMNS = 3;
/** Of the plot within its panel. */
const PLOT = { left: 58, right: 14, top: 34, bottom: 40 };
const WIDTH = COLUMNS * PANEL.width + 10;
const ROW = HEADING + PANEL.height;
const COLOURS = ['#0b5fa5', '#c2410c', '#2e7d32'];
const GREY = '#555555';

/** Of a panel, where a column's title leans on the text beside its table. */
const TITLES: Readonly<Partial<Record<FigureName, string>>> = {
  cpu: 'CPU s per 1,000 jobs',
  buffers: 'shared buffers of the claim',
};

/** Values that lie further apart than this are drawn on a logarithmic axis. */
const LINEAR_SPAN = 20;
const LINEAR_STEPS = [1, 2, 2.5, 5, 10];
const LINEAR_TICKS = 4;

/** An SVG that explains itself. */
export function growthChart(points: readonly GrowthPoint[]): string {
  const names = SERIES_NAMES.filter((name) => points.some((point) => point.series === name));
  const height = TOP + names.length * ROW + 10;
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    text({ x: 10, y: 22, size: 15, of: 'How cost grows' }),
    text({
      x: 10,
      y: 40,
      colour: GREY,
      of: 'Medians over the rounds; the upright line is their range. CPU is that of service and Postgres together.',
    }),
    ...names.flatMap((name, index) => {
      const own = points.filter((point) => point.series === name);
      return rowOfPanels(name, own, TOP + index * ROW);
    }),
    '</svg>',
  ].join('\n')}\n`;
}

function rowOfPanels(name: SeriesName, points: readonly GrowthPoint[], top: number): readonly string[] {
  const { axis, plotted } = series[name];
  const rows = [...new Set(points.map(({ row }) => row))];
  const legend = rows.map((row, index) => text({ x: 110 + index * 150, y: top + 16, colour: colourOf(index), of: `● ${row}` }));
  return [
    line({ x1: 10, y1: top, x2: WIDTH - 10, y2: top, colour: '#bbbbbb' }),
    text({ x: 10, y: top + 16, size: 13, of: name }),
    ...legend,
    ...plotted.flatMap((figure, column) => panel({ axis, figure, rows, points, left: column * PANEL.width, top: top + HEADING })),
  ];
}

interface Panel {
  readonly axis: string;
  readonly figure: FigureName;
  readonly rows: readonly string[];
  readonly points: readonly GrowthPoint[];
  readonly left: number;
  readonly top: number;
}

function panel({ axis, figure, rows, points, left, top }: Panel): readonly string[] {
  const drawn = points.flatMap(({ row, at, figures }) => {
    const spread = figures[figure];
    return spread === undefined || !Number.isFinite(spread.median) ? [] : [{ row, at, spread }];
  });
  const [from, to] = [left + PLOT.left, left + PANEL.width - PLOT.right];
  const [ceiling, floor] = [top + PLOT.top, top + PANEL.height - PLOT.bottom];
  const ats = [...new Set(drawn.map(({ at }) => at))].toSorted((a, b) => a - b);
  const x = logarithmic(ats, from, to);
  const y = scaleOf(
    drawn.flatMap(({ spread }) => [spread.min, spread.max]),
    floor,
    ceiling,
  );
  return [
    text({ x: from, y: top + 20, of: TITLES[figure] ?? FIGURES[figure].title }),
    ...y.ticks.flatMap((tick) => [
      line({ x1: from, y1: y.at(tick), x2: to, y2: y.at(tick), colour: '#dddddd' }),
      text({ x: from - 6, y: y.at(tick) + 4, anchor: 'end', colour: GREY, size: 11, of: short(tick) }),
    ]),
    ...ats.flatMap((at) => [
      line({ x1: x(at), y1: floor, x2: x(at), y2: floor + 4, colour: GREY }),
      text({ x: x(at), y: floor + 17, anchor: 'middle', colour: GREY, size: 11, of: short(at) }),
    ]),
    text({ x: (from + to) / 2, y: floor + 33, anchor: 'middle', colour: GREY, size: 11, of: axis }),
    ...rows.flatMap((row, index) => {
      const own = drawn.filter((point) => point.row === row);
      return curve(
        own.map(({ at, spread }) => ({ x: x(at), spread })),
        y.at,
        colourOf(index),
      );
    }),
  ];
}

interface Dot {
  readonly x: number;
  readonly spread: Spread;
}

function curve(dots: readonly Dot[], at: (value: number) => number, colour: string): readonly string[] {
  const path = dots.map(({ x, spread }) => `${pixels(x)},${pixels(at(spread.median))}`).join(' ');
  return [
    `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`,
    ...dots.flatMap(({ x, spread: { median, min, max } }) => [
      line({ x1: x, y1: at(min), x2: x, y2: at(max), colour }),
      `<circle cx="${pixels(x)}" cy="${pixels(at(median))}" r="3.5" fill="${colour}"/>`,
    ]),
  ];
}

const colourOf = (index: number) => COLOURS[index % COLOURS.length] ?? GREY;

interface Scale {
  readonly ticks: readonly number[];
  readonly at: (value: number) => number;
}

/** From nought, unless what is drawn lies too far apart. */
function scaleOf(values: readonly number[], floor: number, ceiling: number): Scale {
  const most = Math.max(...values, 0);
  if (most === 0) return { ticks: [0], at: () => floor };
  const least = Math.min(...values.filter((value) => value > 0));
  if (most / least <= LINEAR_SPAN) {
    const step = stepOf(most / LINEAR_TICKS);
    const top = Math.ceil(most / step) * step;
    const ticks = Array.from({ length: Math.round(top / step) + 1 }, (_, index) => index * step);
    return { ticks, at: (value) => floor + ((ceiling - floor) * value) / top };
  }
  const [low, high] = [Math.floor(Math.log10(least)), Math.ceil(Math.log10(most))];
  const ticks = Array.from({ length: high - low + 1 }, (_, index) => 10 ** (low + index));
  const at = logarithmic(ticks, floor, ceiling);
  return { ticks, at: (value) => at(Math.max(value, 10 ** low)) };
}

function stepOf(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * (LINEAR_STEPS.find((step) => step * power >= least) ?? 10);
}

/** The least of the ticks at `from`, the most at `to`; one alone in the middle. */
function logarithmic(ticks: readonly number[], from: number, to: number): (value: number) => number {
  const [low, high] = [Math.log10(ticks[0] ?? 1), Math.log10(ticks.at(-1) ?? 1)];
  return (value) => (high === low ? (from + to) / 2 : from + ((to - from) * (Math.log10(value) - low)) / (high - low));
}

const UNITS = [
  { size: 1e6, letter: 'M' },
  { size: 1e3, letter: 'k' },
];

/** Such as 2.5k. */
function short(value: number): string {
  const { size, letter } = UNITS.find((unit) => value >= unit.size) ?? { size: 1, letter: '' };
  return `${Number((value / size).toPrecision(3))}${letter}`;
}
