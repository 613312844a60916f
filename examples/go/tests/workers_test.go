package tests

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"example.com/stint/refusal"
	stintv1 "example.com/stint/stint/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

func TestAClaimWaitsForAJob(t *testing.T) {
	s := newScene(t)
	answers := make(chan *stintv1.ClaimResponse)
	go func() {
		answer, _ := s.workers.Claim(s.ctx, s.claimRequest(&stintv1.ClaimRequest{}))
		answers <- answer
	}()
	id := s.enqueue(&stintv1.JobSpec{Payload: []byte("in")}).Job.JobId
	answer := <-answers
	equal(t, "decision", answer.GetDecision(), stintv1.ClaimDecision_CLAIM_DECISION_ASSIGNED)
	equal(t, "jobs claimed", len(answer.Jobs), 1)
	claimed := answer.Jobs[0]
	equal(t, "job", claimed.Job.JobId, id)
	equal(t, "state", claimed.Job.State, stintv1.JobState_JOB_STATE_RUNNING)
	equal(t, "payload", string(claimed.Payload), "in")
	equal(t, "attempt", claimed.Lease.Attempt, 1)
	equal(t, "fence", claimed.Lease.Fence, claimed.Job.Fence)
	if claimed.Lease.Fence <= 0 || claimed.Checkpoint != nil {
		t.Fatalf("a first claim has fence %d and checkpoint %v", claimed.Lease.Fence, claimed.Checkpoint)
	}
	if claimed.Lease.HeartbeatInterval.AsDuration() >= claimed.Lease.Ttl.AsDuration() {
		t.Fatalf("%v would be too late to renew %v", claimed.Lease.HeartbeatInterval, claimed.Lease.Ttl)
	}
}

func TestAClaimIsAnsweredBeforeTheClientsOwnDeadline(t *testing.T) {
	s := newScene(t)
	ctx, cancel := context.WithTimeout(s.ctx, 3*time.Second)
	defer cancel()
	answer, err := s.workers.Claim(ctx, s.claimRequest(&stintv1.ClaimRequest{Wait: durationpb.New(time.Minute)}))
	s.ok(err)
	equal(t, "decision", answer.Decision, stintv1.ClaimDecision_CLAIM_DECISION_EMPTY)
	equal(t, "jobs claimed", len(answer.Jobs), 0)
}

func TestAClaimToldToBeTheSameIsGivenItsLeaseAgain(t *testing.T) {
	s := newScene(t)
	s.enqueue(&stintv1.JobSpec{})
	s.enqueue(&stintv1.JobSpec{})
	requestID := rand.Text()
	first := s.claim(&stintv1.ClaimRequest{RequestId: requestID}).Jobs[0]
	again := s.claim(&stintv1.ClaimRequest{RequestId: requestID}).Jobs[0]
	equal(t, "token", again.Lease.LeaseToken, first.Lease.LeaseToken)
	equal(t, "fence", again.Lease.Fence, first.Lease.Fence)
	if other := s.claimOne(); other.Job.JobId == first.Job.JobId {
		t.Fatal("another claim was given the same job")
	}
}

func TestAJobMayBeStartedAfterItsClaim(t *testing.T) {
	s := newScene(t)
	s.enqueue(&stintv1.JobSpec{})
	claimed := s.claim(&stintv1.ClaimRequest{Start: stintv1.StartMode_START_MODE_EXPLICIT}).Jobs[0]
	equal(t, "state", claimed.Job.State, stintv1.JobState_JOB_STATE_LEASED)
	started, err := s.workers.Start(s.ctx, &stintv1.StartRequest{LeaseToken: claimed.Lease.LeaseToken})
	s.ok(err)
	equal(t, "state once started", started.Job.State, stintv1.JobState_JOB_STATE_RUNNING)
}

func TestAHeartbeatRenewsWhatIsHeldAndTellsWhatIsLost(t *testing.T) {
	s := newScene(t)
	s.enqueue(&stintv1.JobSpec{})
	lease := s.claimOne().Lease
	answer, err := s.workers.Heartbeat(s.ctx, &stintv1.HeartbeatRequest{
		WorkerId: "worker-1",
		Leases:   []*stintv1.LeaseRenewal{{LeaseToken: lease.LeaseToken}, {LeaseToken: "made-up"}},
	})
	s.ok(err)
	equal(t, "results", len(answer.Results), 2)
	renewed := answer.Results[0].GetRenewed()
	equal(t, "directive", renewed.GetDirective(), stintv1.Directive_DIRECTIVE_CONTINUE)
	same(t, "ttl", renewed.Ttl, lease.Ttl)
	if !renewed.ExpiresAt.AsTime().After(lease.ExpiresAt.AsTime()) {
		t.Fatalf("renewed from %v to %v", lease.ExpiresAt, renewed.ExpiresAt)
	}
	equal(t, "reason", answer.Results[1].GetLost().GetReason(), stintv1.LeaseLostReason_LEASE_LOST_REASON_NOT_HELD)
}

func TestACheckpointReachesTheNextAttempt(t *testing.T) {
	s := newScene(t)
	s.enqueue(&stintv1.JobSpec{Retry: soon()})
	token := s.claimOne().Lease.LeaseToken
	_, err := s.workers.Heartbeat(s.ctx, &stintv1.HeartbeatRequest{
		WorkerId: "worker-1",
		Leases:   []*stintv1.LeaseRenewal{{LeaseToken: token, Checkpoint: []byte("half way")}},
	})
	s.ok(err)
	_, err = s.workers.Fail(s.ctx, &stintv1.FailRequest{LeaseToken: token})
	s.ok(err)
	again := s.claimOne()
	equal(t, "attempt", again.Lease.Attempt, 2)
	equal(t, "checkpoint", string(again.Checkpoint), "half way")
}

func TestAnAckTakesEffectOnce(t *testing.T) {
	s := newScene(t)
	id := s.enqueue(&stintv1.JobSpec{}).Job.JobId
	token := s.claimOne().Lease.LeaseToken
	first, err := s.workers.Ack(s.ctx, &stintv1.AckRequest{LeaseToken: token, Result: []byte("first")})
	s.ok(err)
	again, err := s.workers.Ack(s.ctx, &stintv1.AckRequest{LeaseToken: token, Result: []byte("second")})
	s.ok(err)
	equal(t, "first outcome", first.Outcome, stintv1.SettlementOutcome_SETTLEMENT_OUTCOME_APPLIED)
	equal(t, "second outcome", again.Outcome, stintv1.SettlementOutcome_SETTLEMENT_OUTCOME_ALREADY_APPLIED)
	ended := s.awaitTerminal(id)
	equal(t, "state", ended.State, stintv1.JobState_JOB_STATE_SUCCEEDED)
	equal(t, "result", string(ended.Result), "first")
}

func TestAFailureIsTriedAgainUntilItIsForGood(t *testing.T) {
	s := newScene(t)
	id := s.enqueue(&stintv1.JobSpec{Retry: soon()}).Job.JobId
	fail := func(failure *stintv1.Failure) *stintv1.FailResponse {
		t.Helper()
		request := &stintv1.FailRequest{LeaseToken: s.claimOne().Lease.LeaseToken, Failure: failure}
		answer, err := s.workers.Fail(s.ctx, request)
		s.ok(err)
		return answer
	}
	answer := fail(&stintv1.Failure{Code: "smtp.busy", Message: "try later"})
	equal(t, "state", answer.Job.State, stintv1.JobState_JOB_STATE_RETRY_WAIT)
	equal(t, "next attempt", answer.GetRetryScheduled().GetNextAttempt(), 2)
	answer = fail(&stintv1.Failure{Code: "smtp.refused", Kind: stintv1.FailureKind_FAILURE_KIND_TERMINAL})
	if answer.GetDeadLettered() == nil {
		t.Fatalf("got %v, want a dead letter", answer.Consequence)
	}
	ended := s.awaitTerminal(id)
	equal(t, "last state", ended.State, stintv1.JobState_JOB_STATE_FAILED)
	equal(t, "attempts", ended.Attempt, 2)
	equal(t, "failure", ended.Failure.Code, "smtp.refused")
}

func TestAStaleTokenChangesNothing(t *testing.T) {
	s := newScene(t)
	id := s.enqueue(&stintv1.JobSpec{Retry: soon()}).Job.JobId
	stale := s.claimOne().Lease
	_, err := s.workers.Fail(s.ctx, &stintv1.FailRequest{LeaseToken: stale.LeaseToken})
	s.ok(err)
	live := s.claimOne().Lease
	if live.Fence <= stale.Fence {
		t.Fatalf("the fence went from %d to %d", stale.Fence, live.Fence)
	}
	_, err = s.workers.Ack(s.ctx, &stintv1.AckRequest{LeaseToken: stale.LeaseToken})
	equal(t, "code", status.Code(err), codes.FailedPrecondition)
	equal(t, "reason", refusal.Reason(err), "LEASE_LOST")
	equal(t, "state", s.job(id).State, stintv1.JobState_JOB_STATE_RUNNING)
	answer, err := s.workers.Ack(s.ctx, &stintv1.AckRequest{LeaseToken: live.LeaseToken})
	s.ok(err)
	equal(t, "outcome", answer.Outcome, stintv1.SettlementOutcome_SETTLEMENT_OUTCOME_APPLIED)
}

func TestAReleasedJobHasSpentNothing(t *testing.T) {
	s := newScene(t)
	s.enqueue(&stintv1.JobSpec{})
	released, err := s.workers.Release(s.ctx, &stintv1.ReleaseRequest{LeaseToken: s.claimOne().Lease.LeaseToken})
	s.ok(err)
	equal(t, "state", released.Job.State, stintv1.JobState_JOB_STATE_READY)
	equal(t, "attempts", released.Job.Attempt, 0)
	equal(t, "next attempt", s.claimOne().Lease.Attempt, 1)
	// The one stale token that is no error: there is nothing left to give back.
	unknown, err := s.workers.Release(s.ctx, &stintv1.ReleaseRequest{LeaseToken: "made-up"})
	s.ok(err)
	equal(t, "outcome", unknown.Outcome, stintv1.SettlementOutcome_SETTLEMENT_OUTCOME_NOT_HELD)
}

func TestSettlingManyRefusesABadOneAlone(t *testing.T) {
	s := newScene(t)
	for range 3 {
		s.enqueue(&stintv1.JobSpec{})
	}
	jobs := s.claim(&stintv1.ClaimRequest{MaxJobs: 3}).Jobs
	equal(t, "jobs claimed", len(jobs), 3)
	answer, err := s.workers.Settle(s.ctx, &stintv1.SettleRequest{Settlements: []*stintv1.Settlement{
		{
			LeaseToken: jobs[0].Lease.LeaseToken,
			Action:     &stintv1.Settlement_Ack{Ack: &stintv1.AckSettlement{Result: []byte("out")}},
		},
		{LeaseToken: "made-up", Action: &stintv1.Settlement_Ack{Ack: &stintv1.AckSettlement{}}},
		{LeaseToken: jobs[1].Lease.LeaseToken, Action: &stintv1.Settlement_Fail{Fail: &stintv1.FailSettlement{}}},
		{LeaseToken: jobs[2].Lease.LeaseToken, Action: &stintv1.Settlement_Release{Release: &stintv1.ReleaseSettlement{}}},
	}})
	s.ok(err)
	equal(t, "results", len(answer.Results), 4)
	equal(t, "first", answer.Results[0].GetAck().GetJob().GetState(), stintv1.JobState_JOB_STATE_SUCCEEDED)
	equal(t, "second", refusal.Reason(status.FromProto(answer.Results[1].GetError()).Err()), "LEASE_LOST")
	equal(t, "third", answer.Results[2].GetFail().GetJob().GetState(), stintv1.JobState_JOB_STATE_RETRY_WAIT)
	equal(t, "fourth", answer.Results[3].GetRelease().GetJob().GetState(), stintv1.JobState_JOB_STATE_READY)
}
