package tests

import (
	"context"
	"slices"
	"testing"

	"example.com/stint/refusal"
	stintv1 "example.com/stint/stint/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
)

var eventTypes = []string{"enqueued", "claimed", "started", "succeeded"}

func (s *scene) runOneJob() (id string) {
	s.t.Helper()
	id = s.enqueue(&stintv1.JobSpec{}).Job.JobId
	_, err := s.workers.Ack(s.ctx, &stintv1.AckRequest{LeaseToken: s.claimOne().Lease.LeaseToken})
	s.ok(err)
	return id
}

// readEvents reads at least as many events of the queue, and tells the cursor after the last.
func (s *scene) readEvents(request *stintv1.SubscribeRequest, count int) (events []*stintv1.Event, cursor string) {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	request.Scope = &stintv1.SubscribeRequest_Queue{Queue: s.queue}
	stream, err := s.events.Subscribe(ctx, request)
	s.ok(err)
	for len(events) < count {
		message, err := stream.Recv()
		s.ok(err)
		events = append(events, message.Events...)
		cursor = message.Cursor
	}
	return events, cursor
}

func fromBeginning() *stintv1.SubscribeRequest {
	return &stintv1.SubscribeRequest{Start: &stintv1.SubscribeRequest_FromBeginning{FromBeginning: &emptypb.Empty{}}}
}

func fromCursor(cursor string) *stintv1.SubscribeRequest {
	return &stintv1.SubscribeRequest{Start: &stintv1.SubscribeRequest_Cursor{Cursor: cursor}}
}

func sameEvents(t *testing.T, got, want []*stintv1.Event) {
	t.Helper()
	equal(t, "events", len(got), len(want))
	for at := range want {
		same(t, want[at].Type, got[at], want[at])
	}
}

func TestAJobsEventsAreNumberedWithoutAGap(t *testing.T) {
	s := newScene(t)
	id := s.runOneJob()
	events := s.listEvents(&stintv1.ListEventsRequest{JobId: id})
	equal(t, "events", len(events), len(eventTypes))
	for at, event := range events {
		equal(t, "sequence", event.Sequence, int64(at+1))
		equal(t, "type", event.Type, eventTypes[at])
	}
	if events[3].GetSucceeded() == nil {
		t.Fatalf("the last has the detail %v", events[3].Detail)
	}
	equal(t, "last state", events[3].State, stintv1.JobState_JOB_STATE_SUCCEEDED)
	some := s.listEvents(&stintv1.ListEventsRequest{JobId: id, AfterSequence: 1, Types: []string{"started"}})
	sameEvents(t, some, events[2:3])
}

func TestASubscriptionTellsWhatTheListTellsAndGoesOnFromItsCursor(t *testing.T) {
	s := newScene(t)
	firstJob := s.runOneJob()
	first, cursor := s.readEvents(fromBeginning(), len(eventTypes))
	sameEvents(t, first, s.listEvents(&stintv1.ListEventsRequest{JobId: firstJob}))
	secondJob := s.runOneJob()
	second, _ := s.readEvents(fromCursor(cursor), len(eventTypes))
	sameEvents(t, second, s.listEvents(&stintv1.ListEventsRequest{JobId: secondJob}))
}

func TestASubscriptionHearsOfWhatHappensWhileItIsOpen(t *testing.T) {
	s := newScene(t)
	stream, err := s.events.Subscribe(s.ctx, &stintv1.SubscribeRequest{
		Scope: &stintv1.SubscribeRequest_Queue{Queue: s.queue},
		Start: &stintv1.SubscribeRequest_FromBeginning{FromBeginning: &emptypb.Empty{}},
	})
	s.ok(err)
	id := s.runOneJob()
	var types []string
	for !slices.Equal(types, eventTypes) {
		message, err := stream.Recv()
		s.ok(err)
		for _, event := range message.Events {
			equal(t, "job", event.JobId, id)
			types = append(types, event.Type)
		}
	}
}

func TestACursorOfAnotherScopeIsRefused(t *testing.T) {
	s := newScene(t)
	s.runOneJob()
	_, cursor := s.readEvents(fromBeginning(), len(eventTypes))
	request := fromCursor(cursor)
	request.Scope = &stintv1.SubscribeRequest_Everything{Everything: &emptypb.Empty{}}
	stream, err := s.events.Subscribe(s.ctx, request)
	s.ok(err)
	_, err = stream.Recv()
	equal(t, "code", status.Code(err), codes.InvalidArgument)
	equal(t, "reason", refusal.Reason(err), "INVALID_FIELD")
}
