// Package refusal reads what a refused call says besides its code: google.rpc.Status, in the trailer grpc-status-details-bin.
package refusal

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Detail is the first detail of its kind, such as *errdetails.BadRequest; false if there is none.
func Detail[Kind proto.Message](refused *status.Status) (Kind, bool) {
	for _, detail := range refused.Details() {
		if found, ok := detail.(Kind); ok {
			return found, true
		}
	}
	var none Kind
	return none, false
}

// Reason is the name in stint.v1.ErrorReason, without its prefix; empty where something else than the service refused.
func Reason(err error) string {
	info, found := Detail[*errdetails.ErrorInfo](status.Convert(err))
	if !found || info.Domain != "stint" {
		return ""
	}
	return info.Reason
}
