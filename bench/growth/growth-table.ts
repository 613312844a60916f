import { fixed, markdown, range } from '../table.ts';
import type { GrowthPoint } from './points.ts';
import { type FigureName, FIGURES, series, SERIES_NAMES } from './series.ts';

/** Medians over the rounds, the first figure with its range; a table for each series, as Markdown. */
export function growthTables(points: readonly GrowthPoint[]): string {
  const measured = SERIES_NAMES.filter((name) => points.some((point) => point.series === name));
  return measured
    .map((name) => {
      const { axis, figures } = series[name];
      const titles = figures.map((figure, index) => `${FIGURES[figure].title}${index === 0 ? ' (min–max)' : ''}`);
      const own = points.filter((point) => point.series === name);
      return `### ${name}\n\n${markdown(
        ['', axis, ...titles],
        own.map((point) => rowOf(point, figures)),
      )}`;
    })
    .join('\n\n');
}

function rowOf({ row, at, figures }: GrowthPoint, names: readonly FigureName[]): readonly string[] {
  const cells = names.map((name, index) => {
    const [spread, { digits }] = [figures[name], FIGURES[name]];
    if (spread === undefined) return '-';
    return index === 0 ? range(spread, digits) : fixed(spread.median, digits);
  });
  return [row, at.toLocaleString('en'), ...cells];
}
