import type { EventRecord, HistoryLine } from '../support/history/record.ts';
import type { Story } from './story.ts';

/** Tells one made-up history; what it gives is the history, where that is not all that the story tells. */
export type Telling = (story: Story) => HistoryLine[] | void;

/** By their names. */
export type Tellings = Readonly<Record<string, Telling>>;

/** Enqueued, claimed, acked. */
export function workedOff(story: Story, mark: string): string {
  const jobId = story.enqueue(mark);
  story.settle('ack', story.claim('w', jobId));
  return jobId;
}

export const withEvents = (
  history: HistoryLine[],
  op: 'events' | 'final_events',
  change: (events: readonly EventRecord[]) => EventRecord[],
) => history.map((line) => (line.op === op ? { ...line, events: change(line.events) } : line));

/** The one subscriber reads the given events, a stream for each group, every one but the first resumed. */
export function read(history: HistoryLine[], ...streams: readonly (readonly (EventRecord | undefined)[])[]): HistoryLine[] {
  const lines = streams.flatMap((events, at): HistoryLine[] => [
    { op: 'stream', subscriber: 's', stream: at + 1, replica: 'r', resumed: at > 0 },
    { op: 'events', subscriber: 's', stream: at + 1, events: events.filter((event) => event !== undefined) },
  ]);
  return [...history.filter(({ op }) => op !== 'stream' && op !== 'events'), ...lines];
}

export function eventsIn(history: readonly HistoryLine[]): EventRecord[] {
  return history.flatMap((line) => (line.op === 'events' ? line.events : []));
}
