/** What the metadata of a KEDA trigger asks for. */
import type { ScaleBy, ScaleTrigger } from '../../domain/scaling.ts';
import type { ScaledObjectRef } from '../../../gen/externalscaler/externalscaler.ts';
import type { Fields, Range } from '../fields.ts';

/** KEDA hands all of a trigger's metadata over, also what it needs for itself. */
const OWN_NAMES = ['scalerAddress', 'enableTLS', 'unsafeSsl', 'tlsCertFile', 'caCert', 'tlsClientCert', 'tlsClientKey'];

const NAMES = ['namespace', 'queue', 'scaleBy', 'targetSize', 'targetAgeSeconds', 'activationThreshold'] as const;
type Name = (typeof NAMES)[number];

/** `queueFromEnv: QUEUE` comes with the variable's value, under the name as it was written. */
const FROM_ENVIRONMENT = 'FromEnv';

/** What is a target for each of the two, and how much of it a worker shall have where nothing is said. */
const TARGETS = {
  backlog: { name: 'targetSize', byDefault: 10 },
  oldest_age: { name: 'targetAgeSeconds', byDefault: 30 },
} as const satisfies Record<ScaleBy, { readonly name: Name; readonly byDefault: number }>;

/** KEDA and the autoscaler calculate with three places. */
const TARGET: Range = { min: 0.001, max: 1_000_000_000 };
const THRESHOLD: Range = { min: 0, max: 1_000_000_000 };

/** `ref` is a message of the request, whose fields are told under their own names there. */
export function readTrigger(parent: Fields, ref: ScaledObjectRef): ScaleTrigger {
  const fields = parent.within('scalerMetadata');
  const given = readNames(fields, ref.scalerMetadata);
  const scaleBy = readScaleBy(fields, given('scaleBy'));
  const target = TARGETS[scaleBy];
  const other = TARGETS[scaleBy === 'backlog' ? 'oldest_age' : 'backlog'].name;
  if (given(other) !== '') fields.refuse(other, `says nothing where scaleBy is ${scaleBy}: set ${target.name}`);
  return {
    queue: {
      namespace: fields.nameOr('namespace', given('namespace'), 'default'),
      name: given('queue') === '' ? required(fields) : fields.name('queue', given('queue')),
    },
    scaleBy,
    target: readNumber(fields, target.name, given(target.name), TARGET) ?? target.byDefault,
    activationThreshold: readNumber(fields, 'activationThreshold', given('activationThreshold'), THRESHOLD) ?? 0,
  };
}

/** What is said by name; empty where nothing is. A name that this scaler does not know is refused: it would be a typing error. */
function readNames(fields: Fields, metadata: Readonly<Record<string, string>>): (name: Name) => string {
  const given = new Map<Name, string>();
  for (const [written, value] of Object.entries(metadata)) {
    const plain = written.endsWith(FROM_ENVIRONMENT) ? written.slice(0, -FROM_ENVIRONMENT.length) : written;
    const name = NAMES.find((known) => known === plain);
    if (OWN_NAMES.includes(plain)) continue;
    if (name === undefined) fields.refuse(written, `is not known here: there are ${NAMES.join(', ')}`);
    else if (given.has(name)) fields.refuse(written, `says what ${name} says already`);
    else given.set(name, value);
  }
  return (name) => given.get(name) ?? '';
}

function required(fields: Fields): string {
  fields.refuse('queue', 'is required');
  return '';
}

function readScaleBy(fields: Fields, text: string): ScaleBy {
  if (text === '' || text === 'backlog') return 'backlog';
  if (text !== 'oldest_age') fields.refuse('scaleBy', 'must be backlog or oldest_age');
  return 'oldest_age';
}

/** Null where nothing is said. */
function readNumber(fields: Fields, name: Name, text: string, range: Range): number | null {
  if (text === '') return null;
  const isNumber = /^\d{1,10}(\.\d{1,9})?$/.test(text);
  if (!isNumber) fields.refuse(name, 'must be a number, such as 10 or 2.5');
  return isNumber ? fields.double(name, Number(text), range) : null;
}
