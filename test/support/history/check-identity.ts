import type { Finding } from './finding.ts';
import { endsLife, grouped, type HistoryIndex, isOk } from './history-index.ts';
import type { EventRecord } from './record.ts';

/** I3, I12: one key, one job; one id, one content; one life, one end; one event, one form. */
export function checkIdentity(index: HistoryIndex): Finding[] {
  return [...twoJobs(index), ...twoAnswers(index), ...twoEnds(index), ...twoForms(index)];
}

function twoJobs({ lines }: HistoryIndex): Finding[] {
  const jobs = lines.filter((line) => line.op === 'final_job');
  return [
    ...severalOf(
      'jobs have the mark',
      jobs,
      ({ mark }) => mark,
      ({ jobId }) => jobId,
    ),
    ...severalOf(
      'jobs have the key',
      jobs,
      ({ queue, key }) => (key === null ? null : `${queue}/${key}`),
      ({ jobId }) => jobId,
    ),
    ...severalOf(
      'states are told of job',
      jobs,
      ({ jobId }) => jobId,
      ({ state, lastSequence }) => `${state} ${lastSequence}`,
    ),
  ];
}

function twoAnswers({ enqueues, jobs }: HistoryIndex): Finding[] {
  const accepted = enqueues.filter(isOk);
  const keyOf = ({ queue, key }: (typeof accepted)[number]) => (key === null ? null : `${queue}/${key}`);
  return [
    ...severalOf(
      'jobs were told of the mark',
      accepted,
      ({ mark }) => mark,
      ({ told }) => told.jobId,
    ),
    ...severalOf('jobs were told of the key', accepted, keyOf, ({ told }) => told.jobId),
    ...severalOf('contents were accepted under the key', accepted, keyOf, ({ content }) => content),
    ...severalOf(
      'contents were accepted under the id',
      accepted,
      ({ jobId }) => jobId,
      ({ content }) => content,
    ),
    ...accepted.flatMap(({ mark, told: { jobId } }): Finding[] => {
      const other = jobs.get(jobId)?.mark ?? mark;
      return other === mark ? [] : [{ kind: 'duplicated', detail: `${mark} was accepted as job ${jobId}, which is that of ${other}` }];
    }),
  ];
}

function twoEnds({ events }: HistoryIndex): Finding[] {
  const ends = [...events.values()].flat().filter(endsLife);
  return severalOf(
    'ends has',
    ends,
    ({ jobId, life }) => `life ${life} of job ${jobId}`,
    ({ sequence, type }) => `${sequence} ${type}`,
  );
}

function twoForms({ events, streamed }: HistoryIndex): Finding[] {
  const given = streamed.flatMap((line) => (line.op === 'events' ? line.events : []));
  const all: readonly EventRecord[] = [...[...events.values()].flat(), ...given];
  return severalOf(
    'forms has',
    all,
    ({ jobId, sequence }) => `event ${sequence} of job ${jobId}`,
    ({ whole }) => whole,
  );
}

/** One finding for each name that stands for several things. A null name is none. */
function severalOf<Item>(
  what: string,
  items: readonly Item[],
  nameOf: (item: Item) => string | null,
  thingOf: (item: Item) => string,
): Finding[] {
  const named = items.filter((item) => nameOf(item) !== null);
  return [...grouped(named, nameOf)].flatMap(([name, group]): Finding[] => {
    const things = [...new Set(group.map(thingOf))];
    return things.length < 2 ? [] : [{ kind: 'duplicated', detail: `${things.length} ${what} ${name}: ${things.join(', ')}` }];
  });
}
