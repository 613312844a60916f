import type { ExternalScalerService } from '../../../gen/externalscaler/externalscaler.ts';
import { decode } from '../fields.ts';
import type { MethodHandler } from '../service.ts';
import { METRIC_NAMES, rounded } from './metric.ts';
import { readTrigger } from './scaled-object.ts';

/** Of what the trigger says alone: the autoscaler is set up also while the database is away. */
export function getMetricSpec(): MethodHandler<typeof ExternalScalerService.getMetricSpec> {
  return async (request) => {
    const { scaleBy, target } = decode((fields) => readTrigger(fields, request));
    return { metricSpecs: [{ metricName: METRIC_NAMES[scaleBy], targetSize: rounded(target), targetSizeFloat: target }] };
  };
}
