import type { Server, ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Carriers } from './call.ts';
import { Encoded } from './encoded.ts';
import { type DuplexHandler, duplexStream, type Report, serverStream, type StreamHandler, unary, type UnaryHandler } from './handler.ts';
import { receive } from './received.ts';
import { unimplemented } from './unimplemented.ts';

type RequestOf<Method> = Method extends { readonly requestDeserialize: (bytes: Buffer) => infer Request } ? Request : never;
type ResponseOf<Method> = Method extends { readonly responseDeserialize: (bytes: Buffer) => infer Response } ? Response : never;

/** The handler of one RPC: `MethodHandler<typeof JobServiceService.enqueue>`. */
export type MethodHandler<Method> = Method extends { readonly requestStream: true }
  ? DuplexHandler<RequestOf<Method>, ResponseOf<Method>>
  : Method extends { readonly responseStream: true }
    ? StreamHandler<RequestOf<Method>, ResponseOf<Method> | Encoded>
    : UnaryHandler<RequestOf<Method>, ResponseOf<Method>>;

/** The handlers of a service. An RPC left out answers UNIMPLEMENTED with its name. */
export type Handlers<Definition> = {
  readonly [Name in keyof Definition]?: Definition[Name] extends { readonly requestStream: true }
    ? DuplexHandler<RequestOf<Definition[Name]>, ResponseOf<Definition[Name]>>
    : MethodHandler<Definition[Name]>;
};

/** A handler whose types are forgotten; its definition tells which of the three it is. */
type UntypedHandler = UnaryHandler<unknown, unknown> & StreamHandler<unknown, unknown> & DuplexHandler<unknown, unknown>;

/** Puts a service on the server, each RPC behind the wrapper that answers every error from the one table. */
export function addService<Definition extends ServiceDefinition>(
  server: Server,
  definition: Definition,
  handlers: Handlers<Definition>,
  report: Report,
  carriers?: Carriers,
): void {
  const untyped = new Map<string, UntypedHandler>(Object.entries(handlers));
  const served: Record<string, ServiceDefinition[string]> = {};
  const implementation: UntypedServiceImplementation = {};
  for (const [name, method] of Object.entries(definition)) {
    served[name] = {
      ...method,
      requestDeserialize: (bytes) => receive(bytes, method.requestDeserialize),
      responseSerialize: (response: unknown) => (response instanceof Encoded ? response.bytes : method.responseSerialize(response)),
    };
    const handler = untyped.get(name);
    if (handler === undefined) implementation[name] = unimplemented(method);
    else if (method.requestStream) implementation[name] = duplexStream(method.path, handler, report, carriers);
    else if (method.responseStream) implementation[name] = serverStream(method.path, handler, report, carriers);
    else implementation[name] = unary(method.path, handler, report, carriers);
  }
  server.addService(served, implementation);
}

/** Full names of the RPCs that are served, as `GetServerInfo` tells them: `stint.v1.JobService/Enqueue`. */
export function servedMethods<Definition extends ServiceDefinition>(definition: Definition, handlers: Handlers<Definition>): string[] {
  const names = new Set(Object.keys(handlers));
  return Object.entries(definition).flatMap(([name, method]) => (names.has(name) ? [method.path.slice(1)] : []));
}
