import { eventsIn, read, type Tellings, withEvents, workedOff } from './telling.ts';

/** Sequences that are left out, and things that come before what they had to follow. */
export const badOrders: Readonly<Record<'gap' | 'order_violation', Tellings>> = {
  gap: {
    'a sequence that is in no history': (story) => {
      workedOff(story, 'a');
      return withEvents(story.history(), 'final_events', (events) => events.filter(({ type }) => type !== 'started'));
    },
    'a history that ends too early': (story) => {
      story.happen(story.enqueue('a'), { type: 'ready', state: 'READY' });
      return withEvents(story.history(), 'final_events', (events) => events.slice(0, 1));
    },
    'a sequence that a stream left out': (story) => {
      workedOff(story, 'a');
      const history = story.history();
      return read(
        history,
        eventsIn(history).filter(({ sequence }) => sequence !== 2),
      );
    },
    'a sequence that was left out between two streams': (story) => {
      workedOff(story, 'a');
      const [first, , third, fourth] = eventsIn(story.history());
      return read(story.history(), [first], [third, fourth]);
    },
    'an end that a subscriber was never given': (story) => {
      workedOff(story, 'a');
      return read(story.history(), eventsIn(story.history()).slice(0, 3));
    },
  },
  order_violation: {
    'a stream that steps back': (story) => {
      workedOff(story, 'a');
      const [first, second, third, fourth] = eventsIn(story.history());
      return read(story.history(), [first, second, third, second, fourth]);
    },
    'an event before that of an earlier call': (story) => {
      story.enqueue('a');
      story.enqueue('b');
      return read(story.history(), eventsIn(story.history()).toReversed());
    },
    'an event between those of an earlier and a later call, behind both': (story) => {
      for (const mark of ['a', 'b', 'c']) story.enqueue(mark);
      const [first, second, third] = eventsIn(story.history());
      return read(story.history(), [first, third, second]);
    },
    'a claim before one that was answered earlier': (story) => {
      const jobIds = [story.enqueue('a'), story.enqueue('b')];
      const helds = jobIds.map((jobId) => story.claim('w', jobId));
      for (const held of helds) story.settle('release', held, { sentAtMs: 10, endedAtMs: 100 });
      const events = eventsIn(story.history());
      const [first, second] = jobIds.map((jobId) => events.filter((event) => event.jobId === jobId && event.type !== 'enqueued'));
      return read(story.history(), [...events.slice(0, 2), ...(second ?? []), ...(first ?? [])]);
    },
    'a job that was claimed before an earlier one': (story) => {
      const [first, second] = [story.enqueue('a'), story.enqueue('b')];
      for (const jobId of [second, first]) story.settle('ack', story.claim('w', jobId));
    },
    'a job that was claimed after one of two earlier ones, and before the other': (story) => {
      const [first, second, third] = [story.enqueue('a'), story.enqueue('b'), story.enqueue('c')];
      for (const jobId of [first, third, second]) story.settle('ack', story.claim('w', jobId));
    },
  },
};
