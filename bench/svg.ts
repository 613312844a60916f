/** What charts are drawn of, as text of an SVG. */

interface Line {
  readonly x1: number;
  readonly y1: number;
  readonly x2: number;
  readonly y2: number;
  readonly colour: string;
  readonly width?: number;
}

export function line({ x1, y1, x2, y2, colour, width = 1 }: Line): string {
  return `<line x1="${pixels(x1)}" y1="${pixels(y1)}" x2="${pixels(x2)}" y2="${pixels(y2)}" stroke="${colour}" stroke-width="${width}"/>`;
}

interface Text {
  readonly x: number;
  readonly y: number;
  readonly of: string;
  readonly anchor?: 'start' | 'middle' | 'end';
  readonly colour?: string;
  readonly size?: number;
}

export function text({ x, y, of, anchor = 'start', colour = '#111111', size = 12 }: Text): string {
  const escaped = of.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${pixels(x)}" y="${pixels(y)}" text-anchor="${anchor}" fill="${colour}" font-size="${size}">${escaped}</text>`;
}

export function pixels(length: number): string {
  return length.toFixed(1);
}
