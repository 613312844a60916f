import { connect } from '../../test/contract/stint.ts';

const PAGE = 1_000;

/** What `CheckInvariants` finds in these namespaces, one line each; empty is sound. */
export async function violationsIn(address: string, namespaces: readonly string[]): Promise<string[]> {
  const stint = connect(address);
  const found: string[] = [];
  try {
    for (const namespace of namespaces) {
      let pageToken = '';
      do {
        const page = await stint.checkInvariants({ namespace, pageSize: PAGE, pageToken });
        found.push(...page.violations.map(({ invariant, jobId, detail }) => `${namespace}: ${invariant} of job ${jobId}: ${detail}`));
        pageToken = page.nextPageToken;
      } while (pageToken !== '');
    }
  } finally {
    stint.close();
  }
  return found;
}
