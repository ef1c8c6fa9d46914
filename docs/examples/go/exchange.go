package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"math/big"
	"strings"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	exchangev1 "onecard.example/first-client/onecard/exchange/v1"
)

const (
	hub            = "cn-00"
	messageContext = "onecard.v1.message"
	receiptContext = "onecard.v1.receipt"
	batchContext   = "onecard.v1.batch"
)

var userID = []byte("1234567812345678")

// Exchange signs calls and checks what comes back. Generated stubs run over it unchanged:
//
//	coverage := medicalv1.NewCoverageServiceClient(exchange.To("cn-51"))
type Exchange struct {
	Connection  grpc.ClientConnInterface
	Network     string
	Participant string
	KeyID       string
	Key         *sm2.PrivateKey
	Directory   *exchangev1.ListParticipantsResponse
	// OnReceipt is told the hub's signed word that a call is in its journal.
	OnReceipt func(*exchangev1.Receipt)
}

type toParticipant struct {
	*Exchange
	recipient string
}

// To gives what generated stubs call through, towards one participant.
func (exchange *Exchange) To(recipient string) grpc.ClientConnInterface {
	return toParticipant{exchange, recipient}
}

// Invoke sends the request under a new message id, signed, and gives the answer once its signature has been checked.
func (to toParticipant) Invoke(
	ctx context.Context, method string, request, response any, options ...grpc.CallOption,
) error {
	payload, err := proto.Marshal(request.(proto.Message))
	if err != nil {
		return err
	}
	header, headerBytes, err := to.header(method, payload)
	if err != nil {
		return err
	}
	signature, err := to.sign(messageContext, headerBytes)
	if err != nil {
		return err
	}
	ctx = metadata.AppendToOutgoingContext(
		ctx, "onecard-header-bin", string(headerBytes), "onecard-signature-bin", string(signature),
	)
	var answer []byte
	var trailer metadata.MD
	// The digest in the header is of these bytes, so gRPC must not serialise the request again.
	options = append(options, grpc.ForceCodec(rawBytes{}), grpc.Trailer(&trailer))
	refused := to.Connection.Invoke(ctx, method, payload, &answer, options...)
	if receipt := first(trailer, "onecard-receipt-bin"); receipt != nil {
		if err := to.checkReceipt(header, headerBytes, receipt); err != nil {
			return errors.Join(refused, err)
		}
	}
	if refused != nil {
		rejection := first(trailer, "onecard-rejection-bin")
		if rejection != nil {
			err = to.checkAnswer(header, headerBytes, exchangev1.MessageKind_MESSAGE_KIND_REJECTION, rejection, trailer)
		}
		return errors.Join(refused, err)
	}
	if err := to.checkAnswer(header, headerBytes, exchangev1.MessageKind_MESSAGE_KIND_REPLY, answer, trailer); err != nil {
		return err
	}
	return proto.Unmarshal(answer, response.(proto.Message))
}

// NewStream is here for the interface only: no national method streams.
func (toParticipant) NewStream(
	context.Context, *grpc.StreamDesc, string, ...grpc.CallOption,
) (grpc.ClientStream, error) {
	return nil, errors.New("national methods do not stream")
}

// header makes the bytes that are signed. A repeat of the call must send these very bytes again.
func (to toParticipant) header(method string, payload []byte) (*exchangev1.MessageHeader, []byte, error) {
	policy, err := policyOf(method)
	if err != nil {
		return nil, nil, err
	}
	created := time.Now().Truncate(time.Millisecond)
	digest := sm3.Sum(payload)
	header := &exchangev1.MessageHeader{
		Network:       to.Network,
		Sender:        to.Participant,
		Recipient:     to.recipient,
		Method:        method,
		Kind:          exchangev1.MessageKind_MESSAGE_KIND_REQUEST,
		Id:            uuidV7(created),
		CreatedTime:   timestamppb.New(created),
		PayloadDigest: digest[:],
	}
	if policy.CarriesExecuteBefore {
		duration := time.Duration(policy.LongestDurationMs) * time.Millisecond
		header.ExecuteBefore = timestamppb.New(created.Add(duration))
	}
	bytes, err := proto.Marshal(header)
	return header, bytes, err
}

// policyOf reads what the protocol says about a method from its options.
func policyOf(method string) (*exchangev1.MethodPolicy, error) {
	name := protoreflect.FullName(strings.ReplaceAll(method[1:], "/", "."))
	descriptor, err := protoregistry.GlobalFiles.FindDescriptorByName(name)
	if err != nil {
		return nil, err
	}
	options := descriptor.Options().(*descriptorpb.MethodOptions)
	return proto.GetExtension(options, exchangev1.E_Policy).(*exchangev1.MethodPolicy), nil
}

// uuidV7 is RFC 9562: 48 bits of milliseconds, which must be those of created_time, then version, variant and chance.
func uuidV7(created time.Time) []byte {
	id := make([]byte, 16)
	rand.Read(id)
	binary.BigEndian.PutUint64(id, uint64(created.UnixMilli())<<16|uint64(binary.BigEndian.Uint16(id[6:])))
	id[6] = id[6]&0x0f | 0x70
	id[8] = id[8]&0x3f | 0x80
	return id
}

// framed are the bytes that are signed: a signature made for one purpose never passes for another.
func framed(purpose string, content []byte) []byte {
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(purpose))), purpose...), content...)
}

func (exchange *Exchange) sign(purpose string, content []byte) ([]byte, error) {
	der, err := exchange.Key.Sign(rand.Reader, framed(purpose, content), sm2.NewSM2SignerOption(true, userID))
	if err != nil {
		return nil, err
	}
	var numbers struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &numbers); err != nil {
		return nil, err
	}
	raw := make([]byte, 64)
	numbers.R.FillBytes(raw[:32])
	numbers.S.FillBytes(raw[32:])
	return proto.Marshal(&exchangev1.SignatureBlock{KeyId: exchange.KeyID, Signature: raw})
}

// rawBytes lets gRPC carry bytes as they are.
type rawBytes struct{}

func (rawBytes) Marshal(value any) ([]byte, error) { return value.([]byte), nil }

func (rawBytes) Unmarshal(data []byte, value any) error {
	*value.(*[]byte) = bytes.Clone(data)
	return nil
}

func (rawBytes) Name() string { return "proto" }
