package main

import (
	"bytes"
	"crypto/ecdsa"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"time"

	"github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/sm3"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	exchangev1 "onecard.example/first-client/onecard/exchange/v1"
)

// checkReceipt checks that the hub has signed that this message is in its journal.
func (exchange *Exchange) checkReceipt(asked *exchangev1.MessageHeader, askedBytes, wire []byte) error {
	var signed exchangev1.SignedReceipt
	var receipt exchangev1.Receipt
	if err := errors.Join(proto.Unmarshal(wire, &signed), proto.Unmarshal(signed.Receipt, &receipt)); err != nil {
		return err
	}
	digest := sm3.Sum(askedBytes)
	if receipt.Sender != asked.Sender || !bytes.Equal(receipt.Id, asked.Id) || !bytes.Equal(receipt.Digest, digest[:]) {
		return errors.New("the receipt is for another message")
	}
	if err := exchange.checkSignature(hub, receiptContext, signed.Receipt, signed.Signature); err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	exchange.OnReceipt(&receipt)
	return nil
}

// checkAnswer checks that the answer belongs to what was asked, is whole, and is signed by who was asked or by the hub.
func (exchange *Exchange) checkAnswer(
	asked *exchangev1.MessageHeader, askedBytes []byte, kind exchangev1.MessageKind, payload []byte, trailer metadata.MD,
) error {
	headerBytes := first(trailer, "onecard-header-bin")
	var header exchangev1.MessageHeader
	if err := proto.Unmarshal(headerBytes, &header); err != nil {
		return err
	}
	digest, askedDigest := sm3.Sum(payload), sm3.Sum(askedBytes)
	reply := header.GetReplyTo()
	switch {
	case header.Network != asked.Network || header.Recipient != asked.Sender || header.Method != asked.Method:
		return errors.New("the answer is of another network, recipient or method")
	case header.Sender != asked.Recipient && header.Sender != hub:
		return fmt.Errorf("the answer comes from %s", header.Sender)
	case header.Kind != kind:
		return fmt.Errorf("the answer is a %s", header.Kind)
	case !bytes.Equal(header.PayloadDigest, digest[:]):
		return errors.New("the payload is not the one that was signed")
	case reply.GetSender() != asked.Sender || !bytes.Equal(reply.GetId(), asked.Id):
		return errors.New("the answer names another request")
	case !bytes.Equal(reply.GetDigest(), askedDigest[:]):
		return errors.New("the answer is bound to other bytes than were sent")
	}
	return exchange.checkSignature(header.Sender, messageContext, headerBytes, first(trailer, "onecard-signature-bin"))
}

// checkSignature checks a signature block, made alone or by the batch, with a key that is the signer's and valid now.
func (exchange *Exchange) checkSignature(signer, purpose string, content, blockBytes []byte) error {
	var block exchangev1.SignatureBlock
	if err := proto.Unmarshal(blockBytes, &block); err != nil {
		return err
	}
	key, err := exchange.publicKey(signer, block.KeyId)
	if err != nil {
		return err
	}
	signed := framed(purpose, content)
	if proof := block.BatchProof; proof != nil {
		root, err := rootOf(digestOf(0, signed), proof)
		if err != nil {
			return err
		}
		signed = framed(batchContext, append(binary.BigEndian.AppendUint32(nil, proof.LeafCount), root...))
	}
	if len(block.Signature) != 64 {
		return errors.New("a signature has 64 bytes")
	}
	r, s := new(big.Int).SetBytes(block.Signature[:32]), new(big.Int).SetBytes(block.Signature[32:])
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	if err != nil {
		return err
	}
	if !sm2.VerifyASN1WithSM2(key, userID, signed, der) {
		return fmt.Errorf("the signature by %s does not verify", block.KeyId)
	}
	return nil
}

// publicKey finds a key in the directory; it must be the signer's, in force and not revoked.
func (exchange *Exchange) publicKey(signer, keyID string) (*ecdsa.PublicKey, error) {
	now := time.Now()
	for _, revocation := range exchange.Directory.Revocations {
		if revocation.KeyId == keyID && !revocation.RevokedTime.AsTime().After(now) {
			return nil, fmt.Errorf("key %s is revoked", keyID)
		}
	}
	for _, key := range exchange.Directory.Keys {
		inForce := !now.Before(key.NotBeforeTime.AsTime()) && now.Before(key.NotAfterTime.AsTime())
		if key.KeyId == keyID && key.Participant == signer && inForce {
			return sm2.NewPublicKey(key.PublicKey)
		}
	}
	return nil, fmt.Errorf("the directory has no key %s of %s that is in force", keyID, signer)
}

// rootOf climbs from a leaf to the root of the batch's tree (the shape is RFC 9162, section 2.1.3.2).
func rootOf(leaf []byte, proof *exchangev1.BatchProof) ([]byte, error) {
	if proof.LeafCount < 2 || proof.LeafIndex >= proof.LeafCount {
		return nil, errors.New("the batch proof names no leaf of a batch")
	}
	node, index, last := leaf, proof.LeafIndex, proof.LeafCount-1
	for _, sibling := range proof.Path {
		if last == 0 || len(sibling) != sm3.Size {
			return nil, errors.New("the batch proof has another length than its tree")
		}
		if index%2 == 1 || index == last {
			node = digestOf(1, sibling, node)
			for index%2 == 0 && index != 0 {
				index, last = index/2, last/2
			}
		} else {
			node = digestOf(1, node, sibling)
		}
		index, last = index/2, last/2
	}
	if last != 0 {
		return nil, errors.New("the batch proof has another length than its tree")
	}
	return node, nil
}

func digestOf(prefix byte, parts ...[]byte) []byte {
	digest := sm3.Sum(append([]byte{prefix}, bytes.Join(parts, nil)...))
	return digest[:]
}

func first(values metadata.MD, name string) []byte {
	if found := values.Get(name); len(found) > 0 {
		return []byte(found[0])
	}
	return nil
}
