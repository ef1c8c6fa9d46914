package main

import (
	"crypto/rand"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	exchangev1 "onecard.example/first-client/onecard/exchange/v1"
)

const reply = exchangev1.MessageKind_MESSAGE_KIND_REPLY

// answered is a request and everything that comes back for it, still to be signed.
type answered struct {
	exchange    *Exchange
	answerer    *Exchange
	asked       *exchangev1.MessageHeader
	askedBytes  []byte
	header      *exchangev1.MessageHeader
	payload     []byte
	directory   *exchangev1.ListParticipantsResponse
	spoilsBlock func(*exchangev1.SignatureBlock)
}

func newAnswered(t *testing.T) *answered {
	t.Helper()
	directory := &exchangev1.ListParticipantsResponse{}
	participant := func(name string) *Exchange {
		key, err := sm2.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		public := append([]byte{4}, append(key.X.FillBytes(make([]byte, 32)), key.Y.FillBytes(make([]byte, 32))...)...)
		directory.Keys = append(directory.Keys, &exchangev1.ParticipantKey{
			Participant: name, KeyId: name + "-1", PublicKey: public,
			NotBeforeTime: timestamppb.New(time.Now().Add(-time.Hour)),
			NotAfterTime:  timestamppb.New(time.Now().Add(time.Hour)),
		})
		return &Exchange{Network: "test-go", Participant: name, KeyID: name + "-1", Key: key, Directory: directory}
	}
	exchange, answerer := participant("cn-44"), participant("cn-51")
	payload := []byte("answer")
	asked := &exchangev1.MessageHeader{
		Network: "test-go", Sender: "cn-44", Recipient: "cn-51", Method: "/x.Service/Ask", Id: uuidV7(time.Now()),
	}
	askedBytes, err := proto.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	askedDigest, digest := sm3.Sum(askedBytes), sm3.Sum(payload)
	header := &exchangev1.MessageHeader{
		Network: "test-go", Sender: "cn-51", Recipient: "cn-44", Method: asked.Method, Kind: reply,
		PayloadDigest: digest[:],
		ReplyTo:       &exchangev1.RequestReference{Sender: "cn-44", Id: asked.Id, Digest: askedDigest[:]},
	}
	return &answered{
		exchange: exchange, answerer: answerer, asked: asked, askedBytes: askedBytes, header: header, payload: payload,
		directory: directory, spoilsBlock: func(*exchangev1.SignatureBlock) {},
	}
}

func (a *answered) check(t *testing.T) error {
	t.Helper()
	headerBytes, err := proto.Marshal(a.header)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := a.answerer.sign(messageContext, headerBytes)
	if err != nil {
		t.Fatal(err)
	}
	var block exchangev1.SignatureBlock
	if err := proto.Unmarshal(signature, &block); err != nil {
		t.Fatal(err)
	}
	a.spoilsBlock(&block)
	if signature, err = proto.Marshal(&block); err != nil {
		t.Fatal(err)
	}
	return a.exchange.checkAnswer(a.asked, a.askedBytes, reply, a.payload, metadata.MD{
		"onecard-header-bin": {string(headerBytes)}, "onecard-signature-bin": {string(signature)},
	})
}

func TestATrueAnswerPasses(t *testing.T) {
	if err := newAnswered(t).check(t); err != nil {
		t.Fatal(err)
	}
}

func TestEveryOtherAnswerIsRefused(t *testing.T) {
	for name, row := range map[string]struct {
		spoil func(*answered)
		says  string
	}{
		"payload changed":     {func(a *answered) { a.payload = []byte("other") }, "not the one that was signed"},
		"other network":       {func(a *answered) { a.header.Network = "production" }, "another network"},
		"for somebody else":   {func(a *answered) { a.header.Recipient = "cn-33" }, "another network, recipient"},
		"by somebody else":    {func(a *answered) { a.header.Sender = "cn-33" }, "comes from cn-33"},
		"to another request":  {func(a *answered) { a.header.ReplyTo.Id = uuidV7(time.Now()) }, "another request"},
		"to other bytes":      {func(a *answered) { a.header.ReplyTo.Digest[0] ^= 1 }, "other bytes"},
		"another kind":        {func(a *answered) { a.header.Kind++ }, "MESSAGE_KIND_REJECTION"},
		"key of another":      {func(a *answered) { a.answerer = a.exchange }, "no key cn-44-1 of cn-51"},
		"key ended":           {func(a *answered) { a.directory.Keys[1].NotAfterTime = timestamppb.Now() }, "in force"},
		"signature changed":   {func(a *answered) { a.spoilsBlock = spoilSignature }, "does not verify"},
		"signature shortened": {func(a *answered) { a.spoilsBlock = shortenSignature }, "64 bytes"},
		"proof of no batch":   {func(a *answered) { a.spoilsBlock = addProof(0, 1, 0) }, "no leaf of a batch"},
		"proof out of place":  {func(a *answered) { a.spoilsBlock = addProof(2, 2, 1) }, "no leaf of a batch"},
		"proof too short":     {func(a *answered) { a.spoilsBlock = addProof(0, 4, 1) }, "another length"},
		"proof too long":      {func(a *answered) { a.spoilsBlock = addProof(0, 4, 3) }, "another length"},
		"proof of other leaf": {func(a *answered) { a.spoilsBlock = addProof(0, 2, 1) }, "does not verify"},
		"key revoked":         {revoke, "revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAnswered(t)
			row.spoil(a)
			if err := a.check(t); err == nil || !strings.Contains(err.Error(), row.says) {
				t.Fatalf("got %v, not a refusal that says %q", err, row.says)
			}
		})
	}
}

func spoilSignature(block *exchangev1.SignatureBlock) { block.Signature[40] ^= 1 }

func shortenSignature(block *exchangev1.SignatureBlock) { block.Signature = block.Signature[:63] }

func addProof(index, count uint32, length int) func(*exchangev1.SignatureBlock) {
	return func(block *exchangev1.SignatureBlock) {
		proof := &exchangev1.BatchProof{LeafIndex: index, LeafCount: count}
		for range length {
			proof.Path = append(proof.Path, make([]byte, sm3.Size))
		}
		block.BatchProof = proof
	}
}

func revoke(a *answered) {
	a.directory.Revocations = append(a.directory.Revocations, &exchangev1.KeyRevocation{
		KeyId: "cn-51-1", RevokedTime: timestamppb.New(time.Now().Add(-time.Second)),
	})
}
