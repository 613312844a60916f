import { eventsIn, read, type Tellings, withEvents, workedOff } from './telling.ts';

/** Jobs and events that are lost, invented or there twice. */
export const badJobs: Readonly<Record<'lost' | 'invented' | 'duplicated', Tellings>> = {
  lost: {
    'an accepted job that is not there': (story) => {
      story.enqueue('a', {}, { happened: false });
    },
    'a job that neither ended nor waits': (story) => {
      story.claim('w', story.enqueue('a'));
    },
    'a claim that no event tells of': (story) => {
      story.claim('w', story.enqueue('a'), { happened: false });
    },
    'an ack that changed nothing': (story) => {
      story.settle('ack', story.claim('w', story.enqueue('a')), { happened: false });
    },
  },
  invented: {
    'a job whose enqueue was refused': (story) => {
      story.enqueue('a', {}, { outcome: 'refused', happened: true });
    },
    'a job of another priority than was asked for': (story) => {
      story.enqueue('a');
      return story.history().map((line) => (line.op === 'final_job' ? { ...line, priority: 5 } : line));
    },
    'an attempt that nobody claimed': (story) => {
      const jobId = story.enqueue('a');
      story.happen(jobId, { type: 'claimed', state: 'LEASED', fence: 1n, worker: 'w' });
      story.happen(jobId, { type: 'retry_scheduled', state: 'RETRY_WAIT', failureCode: 'stint.lease_expired' });
    },
    'a success that nobody acked': (story) => {
      const { jobId } = story.claim('w', story.enqueue('a'));
      story.happen(jobId, { type: 'succeeded', state: 'SUCCEEDED', worker: 'w' });
    },
    'a success whose only ack was refused': (story) => {
      story.settle('ack', story.claim('w', story.enqueue('a')), { outcome: 'refused', happened: true });
    },
    'a failure where only an ack may have happened': (story) => {
      const held = story.claim('w', story.enqueue('a'));
      story.settle('ack', held, { outcome: 'unknown', happened: false });
      story.happen(held.jobId, { type: 'retry_scheduled', state: 'RETRY_WAIT', worker: 'w', failureCode: 'x' });
    },
    'a success of a worker whose claim was never answered': (story) => {
      const { jobId } = story.claim('w', story.enqueue('a'), { outcome: 'unknown' });
      story.happen(jobId, { type: 'succeeded', state: 'SUCCEEDED', worker: 'w' });
    },
    'a release that nobody called for': (story) => {
      const { jobId } = story.claim('w', story.enqueue('a'));
      story.happen(jobId, { type: 'released', state: 'READY', worker: 'w' });
    },
    'an event of a kind that nobody called for': (story) => {
      story.happen(story.enqueue('a'), { type: 'cancelled', state: 'CANCELLED' });
    },
    'an event in a stream that is in no history': (story) => {
      const jobId = workedOff(story, 'a');
      const history = story.history();
      story.happen(jobId, { type: 'ready', state: 'READY' });
      return read(history, eventsIn(story.history()));
    },
    'another end than the events tell': (story) => {
      story.await(workedOff(story, 'a'), 'FAILED');
    },
  },
  duplicated: {
    'two jobs for one key': (story) => {
      story.enqueue('a', { key: 'k' });
      story.enqueue('b', { key: 'k', content: 'a' });
    },
    'two jobs for one enqueue': (story) => {
      story.enqueue('a', { jobId: 'x' });
      story.happen(story.enqueue('b', { jobId: 'y' }), { type: 'ready', state: 'READY' });
      return story
        .history()
        .map((line) => (line.op === 'final_job' || line.op === 'enqueue' ? { ...line, mark: 'a', content: 'a' } : line));
    },
    'an enqueue that was answered with the job of another': (story) => {
      story.enqueue('a', { jobId: 'x', content: 'same' });
      story.enqueue('b', { jobId: 'x', content: 'same' });
    },
    'one id for two contents': (story) => {
      story.enqueue('a', { jobId: 'x', content: '1' });
      story.enqueue('a', { jobId: 'x', content: '2' });
    },
    'two ends of one life': (story) => {
      const jobId = workedOff(story, 'a');
      story.happen(jobId, { type: 'succeeded', state: 'SUCCEEDED', worker: 'w' });
    },
    'one event with two contents': (story) => {
      workedOff(story, 'a');
      return withEvents(story.history(), 'events', (events) => events.map((event) => ({ ...event, whole: 'other' })));
    },
  },
};
