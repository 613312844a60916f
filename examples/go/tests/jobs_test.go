package tests

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"example.com/stint/refusal"
	stintv1 "example.com/stint/stint/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func TestAnEnqueuedJobIsThereWithAllThatWasGiven(t *testing.T) {
	s := newScene(t)
	answer := s.enqueue(&stintv1.JobSpec{
		Type:        "test",
		Payload:     []byte("\x00in"),
		ContentType: "a/b",
		Headers:     map[string]string{"h": "v"},
		Labels:      map[string]string{"l": "w"},
		Priority:    -3,
	})
	equal(t, "deduplicated", answer.Deduplicated, false)
	found, err := s.jobs.GetJob(s.ctx, &stintv1.GetJobRequest{JobId: answer.Job.JobId, View: stintv1.JobView_JOB_VIEW_FULL})
	s.ok(err)
	equal(t, "payload", string(found.Payload), "\x00in")
	equal(t, "media type", found.ContentType, "a/b")
	same(t, "job", found.Job, answer.Job)
	equal(t, "state", found.Job.State, stintv1.JobState_JOB_STATE_READY)
	equal(t, "priority", found.Job.Priority, -3)
	equal(t, "most attempts", found.Job.MaxAttempts, 10)
	equal(t, "header", found.Job.Headers["h"], "v")
	equal(t, "label", found.Job.Labels["l"], "w")
	if found.Job.Result != nil || found.Job.StartedAt != nil {
		t.Fatal("what was not given is there")
	}
}

func TestTheSameKeyAndContentIsTheSameJob(t *testing.T) {
	s := newScene(t)
	first := s.enqueue(&stintv1.JobSpec{IdempotencyKey: "key", Payload: []byte("in")})
	second := s.enqueue(&stintv1.JobSpec{IdempotencyKey: "key", Payload: []byte("in")})
	equal(t, "first deduplicated", first.Deduplicated, false)
	equal(t, "second deduplicated", second.Deduplicated, true)
	same(t, "job", second.Job, first.Job)
}

func TestABatchAnswersEachJobAtItsPlace(t *testing.T) {
	s := newScene(t)
	known := s.enqueue(&stintv1.JobSpec{IdempotencyKey: "known"}).Job
	answer, err := s.jobs.EnqueueBatch(s.ctx, &stintv1.EnqueueBatchRequest{Jobs: []*stintv1.JobSpec{
		{Queue: s.queue},
		{Queue: "no name"},
		{Queue: s.queue, IdempotencyKey: "known"},
	}})
	s.ok(err)
	equal(t, "results", len(answer.Results), 3)
	equal(t, "state of the first", s.job(answer.Results[0].GetJob().GetJobId()).State, stintv1.JobState_JOB_STATE_READY)
	equal(t, "third", answer.Results[2].GetJob().GetJobId(), known.JobId)
	equal(t, "third deduplicated", answer.Results[2].Deduplicated, true)
	// FromProto alone makes what refusal.Detail reads.
	refused := status.FromProto(answer.Results[1].GetError())
	equal(t, "code of the second", refused.Code(), codes.InvalidArgument)
	equal(t, "reason of the second", refusal.Reason(refused.Err()), "INVALID_FIELD")
	request, _ := refusal.Detail[*errdetails.BadRequest](refused)
	equal(t, "violations", len(request.GetFieldViolations()), 1)
	equal(t, "field", request.GetFieldViolations()[0].Field, "jobs[1].queue")
}

func TestAnAwaitTellsTheChangesAndEndsWithTheResult(t *testing.T) {
	s := newScene(t)
	id := s.enqueue(&stintv1.JobSpec{}).Job.JobId
	stream, err := s.jobs.AwaitTerminal(s.ctx, &stintv1.AwaitTerminalRequest{JobId: id, IncludeProgress: true})
	s.ok(err)
	next := func() *stintv1.AwaitTerminalResponse {
		t.Helper()
		message, err := stream.Recv()
		s.ok(err)
		return message
	}
	equal(t, "first state", next().Job.State, stintv1.JobState_JOB_STATE_READY)
	token := s.claimOne().Lease.LeaseToken
	state := next().Job.State
	// Intermediate states may be left out.
	if state == stintv1.JobState_JOB_STATE_LEASED {
		state = next().Job.State
	}
	equal(t, "state once claimed", state, stintv1.JobState_JOB_STATE_RUNNING)
	_, err = s.workers.Ack(s.ctx, &stintv1.AckRequest{LeaseToken: token, Result: []byte("out"), ContentType: "c/d"})
	s.ok(err)
	last := next()
	equal(t, "terminal", last.Terminal, true)
	equal(t, "last state", last.Job.State, stintv1.JobState_JOB_STATE_SUCCEEDED)
	equal(t, "result", string(last.Job.Result), "out")
	equal(t, "media type", last.Job.ResultContentType, "c/d")
	if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
		t.Fatalf("the stream did not end with OK: %v", err)
	}
}

func TestAnAwaitLastsUntilTheClientsOwnDeadline(t *testing.T) {
	s := newScene(t)
	id := s.enqueue(&stintv1.JobSpec{}).Job.JobId
	ctx, cancel := context.WithTimeout(s.ctx, time.Second)
	defer cancel()
	stream, err := s.jobs.AwaitTerminal(ctx, &stintv1.AwaitTerminalRequest{JobId: id})
	for err == nil {
		_, err = stream.Recv()
	}
	equal(t, "code", status.Code(err), codes.DeadlineExceeded)
	equal(t, "state", s.job(id).State, stintv1.JobState_JOB_STATE_READY)
}

func TestAScheduledJobWaitsForItsTime(t *testing.T) {
	s := newScene(t)
	info, err := s.jobs.GetServerInfo(s.ctx, &stintv1.GetServerInfoRequest{})
	s.ok(err)
	runAt := timestamppb.New(info.DatabaseTime.AsTime().Add(time.Hour))
	job := s.enqueue(&stintv1.JobSpec{RunAt: runAt}).Job
	equal(t, "state", job.State, stintv1.JobState_JOB_STATE_SCHEDULED)
	same(t, "time", job.RunAt, runAt)
	equal(t, "jobs claimed", len(s.claim(&stintv1.ClaimRequest{Wait: durationpb.New(0)}).Jobs), 0)
}
