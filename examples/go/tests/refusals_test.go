package tests

import (
	"errors"
	"io"
	"testing"

	"example.com/stint/refusal"
	stintv1 "example.com/stint/stint/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

// refused checks the code and the reason, and that the contract tells of the reason.
func refused(t *testing.T, err error, code codes.Code, reason string) (*status.Status, *errdetails.ErrorInfo) {
	t.Helper()
	told, ok := status.FromError(err)
	equal(t, "is a status", ok, true)
	equal(t, "code", told.Code(), code)
	info, _ := refusal.Detail[*errdetails.ErrorInfo](told)
	equal(t, "reason", info.GetReason(), reason)
	equal(t, "domain", info.GetDomain(), "stint")
	if _, known := stintv1.ErrorReason_value["ERROR_REASON_"+reason]; !known {
		t.Fatalf("%s is no ErrorReason", reason)
	}
	return told, info
}

func TestABadRequestNamesEachBadField(t *testing.T) {
	s := newScene(t)
	_, err := s.jobs.Enqueue(s.ctx, &stintv1.EnqueueRequest{Job: &stintv1.JobSpec{Queue: "no name", Type: "é"}})
	told, _ := refused(t, err, codes.InvalidArgument, "INVALID_FIELD")
	request, _ := refusal.Detail[*errdetails.BadRequest](told)
	described := map[string]bool{}
	for _, violation := range request.GetFieldViolations() {
		described[violation.Field] = violation.Description != ""
	}
	equal(t, "violations", len(described), 2)
	equal(t, "job.queue is described", described["job.queue"], true)
	equal(t, "job.type is described", described["job.type"], true)
}

func TestAnUnknownJobIsNamed(t *testing.T) {
	s := newScene(t)
	id := "0199c2f4-6a3e-7c1b-9d55-0c1f6f0a7b21"
	_, err := s.jobs.GetJob(s.ctx, &stintv1.GetJobRequest{JobId: id})
	_, info := refused(t, err, codes.NotFound, "JOB_NOT_FOUND")
	equal(t, "job", info.Metadata["job_id"], id)
}

func TestADuplicateNamesTheJobThatHoldsTheKey(t *testing.T) {
	s := newScene(t)
	holder := s.enqueue(&stintv1.JobSpec{IdempotencyKey: "key", Payload: []byte("one")}).Job
	spec := &stintv1.JobSpec{Queue: s.queue, IdempotencyKey: "key", Payload: []byte("other")}
	_, err := s.jobs.Enqueue(s.ctx, &stintv1.EnqueueRequest{Job: spec})
	_, info := refused(t, err, codes.AlreadyExists, "DUPLICATE_JOB")
	equal(t, "holder", info.Metadata["job_id"], holder.JobId)
}

func TestARefusalThatIsNotTheServicesHasNoReason(t *testing.T) {
	nobody, err := connect("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	s := newSceneOn(t, nobody)
	_, err = s.jobs.GetServerInfo(s.ctx, &stintv1.GetServerInfoRequest{})
	equal(t, "code", status.Code(err), codes.Unavailable)
	equal(t, "reason", refusal.Reason(err), "")
}

func TestAShutdownEndsEveryWaitAndSaysWhenToComeBack(t *testing.T) {
	t.Parallel()
	own := ownService(t)
	connection, err := connect(own.address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	s := newSceneOn(t, connection)
	subscription, err := s.events.Subscribe(s.ctx, &stintv1.SubscribeRequest{
		Scope: &stintv1.SubscribeRequest_Queue{Queue: s.queue},
		Start: fromBeginning().Start,
	})
	s.ok(err)
	awaited, err := s.jobs.AwaitTerminal(s.ctx, &stintv1.AwaitTerminalRequest{JobId: s.enqueue(&stintv1.JobSpec{}).Job.JobId})
	s.ok(err)
	_, err = awaited.Recv()
	s.ok(err)
	_, err = subscription.Recv()
	s.ok(err)
	s.claimOne()
	answers := make(chan *stintv1.ClaimResponse)
	go func() {
		request := &stintv1.ClaimRequest{WorkerId: "worker-2", Queues: []string{s.queue}, Wait: durationpb.New(longTime / 4)}
		answer, _ := s.workers.Claim(s.ctx, request)
		answers <- answer
	}()
	own.process.terminate()

	// Parked or not there yet, it is answered; what came too late has no answer but an error.
	if answer := <-answers; answer != nil {
		equal(t, "decision", answer.Decision, stintv1.ClaimDecision_CLAIM_DECISION_EMPTY)
	}
	var last *stintv1.SubscribeResponse
	for {
		message, err := subscription.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		s.ok(err)
		last = message
	}
	equal(t, "why the stream ended", last.GetReconnect().GetReason(), stintv1.ReconnectReason_RECONNECT_REASON_SHUTTING_DOWN)
	if last.Cursor == "" {
		t.Fatal("there is no cursor to come back with")
	}
	for err == nil {
		_, err = awaited.Recv()
	}
	told, _ := refused(t, err, codes.Unavailable, "SHUTTING_DOWN")
	retry, _ := refusal.Detail[*errdetails.RetryInfo](told)
	if retry.GetRetryDelay().AsDuration() <= 0 {
		t.Fatalf("it says to come back after %v", retry.GetRetryDelay())
	}
	s.ok(own.stop())
}
