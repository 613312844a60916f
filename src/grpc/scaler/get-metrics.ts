import type { ScaleTrigger } from '../../domain/scaling.ts';
import type { Engine } from '../../engine/engine.ts';
import { type ExternalScalerService, type GetMetricsRequest, ScaledObjectRef } from '../../../gen/externalscaler/externalscaler.ts';
import { decode, type Fields } from '../fields.ts';
import type { MethodHandler } from '../service.ts';
import { METRIC_NAMES, rounded } from './metric.ts';
import { readTrigger } from './scaled-object.ts';

export function getMetrics(engine: Engine): MethodHandler<typeof ExternalScalerService.getMetrics> {
  return async (request) => {
    const trigger = decode((fields) => readMetrics(fields, request));
    const { value } = await engine.scaler.queueLoad(trigger);
    return { metricValues: [{ metricName: METRIC_NAMES[trigger.scaleBy], metricValue: rounded(value), metricValueFloat: value }] };
  };
}

function readMetrics(fields: Fields, { scaledObjectRef, metricName }: GetMetricsRequest): ScaleTrigger {
  const trigger = readTrigger(fields.within('scaledObjectRef'), scaledObjectRef ?? ScaledObjectRef.create());
  const name = METRIC_NAMES[trigger.scaleBy];
  if (metricName !== name) fields.refuse('metricName', `must be ${name}, as GetMetricSpec tells it`);
  return trigger;
}
