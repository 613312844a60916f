package tests

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	stintv1 "example.com/stint/stint/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
)

// A scene is a world of its own for a test: a queue that nobody else uses, with a client of each service.
type scene struct {
	t *testing.T
	// Nothing here takes long; what hangs shall fail by name.
	ctx     context.Context
	queue   string
	jobs    stintv1.JobServiceClient
	workers stintv1.WorkerServiceClient
	events  stintv1.EventServiceClient
}

func newScene(t *testing.T) *scene { return newSceneOn(t, connection) }

func newSceneOn(t *testing.T, connection *grpc.ClientConn) *scene {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longTime)
	t.Cleanup(cancel)
	return &scene{
		t:       t,
		ctx:     ctx,
		queue:   "go-" + rand.Text(),
		jobs:    stintv1.NewJobServiceClient(connection),
		workers: stintv1.NewWorkerServiceClient(connection),
		events:  stintv1.NewEventServiceClient(connection),
	}
}

// soon retries at once.
func soon() *stintv1.RetryPolicy {
	return &stintv1.RetryPolicy{InitialBackoff: durationpb.New(time.Millisecond), Jitter: proto.Bool(false)}
}

func (s *scene) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func equal[Value comparable](t *testing.T, what string, got, want Value) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func same(t *testing.T, what string, got, want proto.Message) {
	t.Helper()
	if !proto.Equal(got, want) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func (s *scene) enqueue(spec *stintv1.JobSpec) *stintv1.EnqueueResponse {
	s.t.Helper()
	spec.Queue = s.queue
	answer, err := s.jobs.Enqueue(s.ctx, &stintv1.EnqueueRequest{Job: spec})
	s.ok(err)
	return answer
}

func (s *scene) job(id string) *stintv1.Job {
	s.t.Helper()
	answer, err := s.jobs.GetJob(s.ctx, &stintv1.GetJobRequest{JobId: id})
	s.ok(err)
	return answer.Job
}

// claim fills in what the request leaves open.
func (s *scene) claim(request *stintv1.ClaimRequest) *stintv1.ClaimResponse {
	s.t.Helper()
	answer, err := s.workers.Claim(s.ctx, s.claimRequest(request))
	s.ok(err)
	return answer
}

func (s *scene) claimRequest(request *stintv1.ClaimRequest) *stintv1.ClaimRequest {
	request.WorkerId = "worker-1"
	request.Queues = []string{s.queue}
	if request.Wait == nil {
		request.Wait = durationpb.New(20 * time.Second)
	}
	return request
}

func (s *scene) claimOne() *stintv1.ClaimedJob {
	s.t.Helper()
	answer := s.claim(&stintv1.ClaimRequest{})
	equal(s.t, "jobs claimed", len(answer.Jobs), 1)
	return answer.Jobs[0]
}

// awaitTerminal returns the job as it was when its life ended.
func (s *scene) awaitTerminal(id string) *stintv1.Job {
	s.t.Helper()
	stream, err := s.jobs.AwaitTerminal(s.ctx, &stintv1.AwaitTerminalRequest{JobId: id})
	s.ok(err)
	for {
		message, err := stream.Recv()
		s.ok(err)
		if message.Terminal {
			return message.Job
		}
	}
}

func (s *scene) listEvents(request *stintv1.ListEventsRequest) []*stintv1.Event {
	s.t.Helper()
	answer, err := s.events.ListEvents(s.ctx, request)
	s.ok(err)
	return answer.Events
}

func (s *scene) eventTypes(id string) []string {
	s.t.Helper()
	var types []string
	for _, event := range s.listEvents(&stintv1.ListEventsRequest{JobId: id}) {
		types = append(types, event.Type)
	}
	return types
}

func (s *scene) waitUntil(what string, holds func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(longTime); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("waited too long until %s", what)
		}
	}
}
