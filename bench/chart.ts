/** The outcomes as a picture: a bar each, from "as fast as the other" to its median, with its range over the rounds. */
import type { Outcome } from './figures.ts';
import { isCost } from './reaches.ts';
import { line, pixels, text } from './svg.ts';
import { titleOf } from './table.ts';

const WIDTH = 900;
const LABELS = 300;
const RIGHT = 90;
const TOP = 60;
const ROW = 30;
const BAR = 14;
const FOOT = 46;

const TICKS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];
const COLOURS = { 'aim reached': '#2e7d32', reached: '#689f38', missed: '#c62828' } as const;

/** How many times as fast: of a time the other way round. */
interface Bar {
  readonly title: string;
  readonly verdict: Outcome['verdict'];
  readonly median: number;
  readonly least: number;
  readonly most: number;
  readonly wanted: number;
  readonly aim: number;
}

/** An SVG that explains itself. */
export function chartOf(outcomes: readonly Outcome[]): string {
  const bars = outcomes.map(barOf);
  const scale = scaleOf(bars);
  const height = TOP + bars.length * ROW + FOOT;
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>`,
    text({ x: 10, y: 22, size: 15, of: 'How many times as fast' }),
    text({
      x: 10,
      y: 40,
      colour: '#555555',
      of: 'Median of the ratios within each round; the line is their range. The thin mark is what is wanted, the thick one the aim.',
    }),
    ...scale.ticks.flatMap((tick) => gridLine(scale.at(tick), tick, height)),
    ...bars.flatMap((bar, index) => drawn(bar, TOP + index * ROW, scale.at)),
    '</svg>',
  ].join('\n')}\n`;
}

function barOf(outcome: Outcome): Bar {
  const { ratio, wanted, aim, verdict } = outcome;
  const title = titleOf(outcome);
  if (!isCost(outcome)) return { title, verdict, median: ratio.median, least: ratio.min, most: ratio.max, wanted, aim };
  return { title, verdict, median: 1 / ratio.median, least: 1 / ratio.max, most: 1 / ratio.min, wanted: 1 / wanted, aim: 1 / aim };
}

interface Scale {
  readonly ticks: readonly number[];
  /** Where a ratio stands, in pixels. */
  readonly at: (ratio: number) => number;
}

/** Logarithmic, from the tick below all that is drawn to the tick above. */
function scaleOf(bars: readonly Bar[]): Scale {
  const drawn = [1, ...bars.flatMap(({ least, most, wanted, aim }) => [least, most, wanted, aim])].filter((ratio) => ratio > 0);
  const from = TICKS.findLast((tick) => tick <= Math.min(...drawn)) ?? Math.min(...drawn);
  const to = TICKS.find((tick) => tick > Math.max(...drawn)) ?? Math.max(...drawn);
  const span = Math.log(to) - Math.log(from);
  const at = (ratio: number) => LABELS + ((WIDTH - LABELS - RIGHT) * (Math.log(Math.max(ratio, from)) - Math.log(from))) / span;
  return { ticks: TICKS.filter((tick) => tick >= from && tick <= to), at };
}

function gridLine(x: number, tick: number, height: number): readonly string[] {
  return [
    line({ x1: x, y1: TOP - 6, x2: x, y2: height - FOOT + 4, colour: tick === 1 ? '#444444' : '#dddddd' }),
    text({ x, y: height - FOOT + 20, anchor: 'middle', colour: '#555555', of: `${tick}×` }),
  ];
}

function drawn({ title, verdict, median, least, most, wanted, aim }: Bar, top: number, at: Scale['at']): readonly string[] {
  const middle = top + ROW / 2;
  const [from, to] = [Math.min(at(1), at(median)), Math.max(at(1), at(median))];
  const mark = (ratio: number, width: number) =>
    line({ x1: at(ratio), y1: middle - BAR / 2 - 4, x2: at(ratio), y2: middle + BAR / 2 + 4, colour: '#222222', width });
  return [
    text({ x: LABELS - 12, y: middle + 4, anchor: 'end', of: title }),
    `<rect x="${pixels(from)}" y="${pixels(middle - BAR / 2)}" width="${pixels(to - from)}" height="${BAR}" fill="${COLOURS[verdict]}"/>`,
    line({ x1: at(least), y1: middle, x2: at(most), y2: middle, colour: '#111111' }),
    mark(wanted, 1),
    mark(aim, 3),
    text({ x: WIDTH - RIGHT + 12, y: middle + 4, of: `${median.toFixed(2)}×` }),
  ];
}
