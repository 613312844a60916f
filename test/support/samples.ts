/** What a scrape of `/metrics` told: the text format of Prometheus, as far as the service writes it. */
export interface Sample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export class Samples {
  readonly all: readonly Sample[];
  /** By name: the type that a `# TYPE` line tells. */
  readonly types: ReadonlyMap<string, string>;

  constructor(text: string) {
    const lines = text.split('\n');
    this.all = lines.filter((line) => line !== '' && !line.startsWith('#')).map(sampleOf);
    this.types = new Map(
      lines.flatMap((line) => {
        const [, name = '', type = ''] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
        return name === '' ? [] : [[name, type] as const];
      }),
    );
  }

  /** All with the name and the labels told. */
  of(name: string, labels: Readonly<Record<string, string>> = {}): readonly Sample[] {
    return this.all.filter((one) => one.name === name && Object.entries(labels).every(([label, value]) => one.labels[label] === value));
  }

  /** Their sum; 0 where there is none. */
  sum(name: string, labels: Readonly<Record<string, string>> = {}): number {
    return this.of(name, labels).reduce((sum, { value }) => sum + value, 0);
  }

  /** The sums by the values of one label, without those that are 0. */
  by(name: string, label: string, labels: Readonly<Record<string, string>> = {}): Record<string, number> {
    const sums: Record<string, number> = {};
    for (const one of this.of(name, labels)) {
      const value = one.labels[label] ?? '';
      if (one.value !== 0) sums[value] = (sums[value] ?? 0) + one.value;
    }
    return sums;
  }
}

function sampleOf(line: string): Sample {
  const [, name, labels = '', value] = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
  if (name === undefined || value === undefined) throw new Error(`no sample: ${line}`);
  const pairs = [...labels.matchAll(/([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"/g)].map(([, label = '', text = '']) => [label, text]);
  return { name, labels: Object.fromEntries(pairs), value: Number(value) };
}

/** What several replicas tell, as one sums it up. */
export function together(...scrapes: readonly string[]): Samples {
  return new Samples(scrapes.join('\n'));
}
