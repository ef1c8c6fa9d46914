// A first client of OneCard Exchange in another language: asks a province what a person is entitled to, by an ordinary
// gRPC stub, with the request signed and the answer's signature, binding and receipt checked.
//
//	go run . -new-key client.key
//	go run . -gateway 127.0.0.1:7443 -ca authority.pem -certificate cn-44.pem -certificate-key cn-44.key.pem \
//	    -network test-dev -participant cn-44 -key-id cn-44-go -key client.key -recipient cn-51 request.json
package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/emmansun/gmsm/sm2"
	_ "google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"

	exchangev1 "onecard.example/first-client/onecard/exchange/v1"
	medicalv1 "onecard.example/first-client/onecard/medical/v1"
)

// A typed call may take 24 s; the hub answers OUTCOME_UNKNOWN before that if the other side is silent.
const callTimeout = 25 * time.Second

func main() {
	gateway := flag.String("gateway", "127.0.0.1:7443", "host:port of a gateway of the hub")
	authority := flag.String("ca", "authority.pem", "certificate of the authority that signed the gateway's")
	certificate := flag.String("certificate", "", "our certificate, PEM")
	certificateKey := flag.String("certificate-key", "", "its private key, PEM")
	network := flag.String("network", "test-dev", "name of the network")
	participant := flag.String("participant", "cn-44", "who we are")
	keyID := flag.String("key-id", "", "our signing key's id in the directory")
	keyFile := flag.String("key", "", "our SM2 private key: 64 hex digits")
	recipient := flag.String("recipient", "cn-51", "who is asked")
	newKey := flag.String("new-key", "", "only make a private key, write it to this file and print the public key")
	flag.Parse()
	if *newKey != "" {
		exitIf(makeKey(*newKey))
		return
	}
	if flag.NArg() != 1 {
		exitIf(fmt.Errorf("name one file with a QueryCoverageRequest as JSON"))
	}

	transport, err := mutualTLS(*authority, *certificate, *certificateKey)
	exitIf(err)
	connection, err := grpc.NewClient(*gateway, grpc.WithTransportCredentials(transport))
	exitIf(err)
	defer connection.Close()
	key, err := readKey(*keyFile)
	exitIf(err)
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()

	// The exchange's own services need a certificate only, no signature.
	directory, err := exchangev1.NewDirectoryServiceClient(connection).
		ListParticipants(ctx, &exchangev1.ListParticipantsRequest{})
	exitIf(err)
	exchange := &Exchange{
		Connection:  connection,
		Network:     *network,
		Participant: *participant,
		KeyID:       *keyID,
		Key:         key,
		Directory:   directory,
		OnReceipt: func(receipt *exchangev1.Receipt) {
			admitted := receipt.AdmittedTime.AsTime().Format(time.RFC3339Nano)
			fmt.Fprintf(os.Stderr, "receipt: message %x is in the journal, partition %d position %d, admitted %s\n",
				receipt.Id, receipt.Partition, receipt.Position, admitted)
		},
	}

	request := &medicalv1.QueryCoverageRequest{}
	text, err := os.ReadFile(flag.Arg(0))
	exitIf(err)
	exitIf(protojson.Unmarshal(text, request))
	answer, err := medicalv1.NewCoverageServiceClient(exchange.To(*recipient)).QueryCoverage(ctx, request)
	exitIf(err)
	fmt.Fprintln(os.Stderr, "answer: signed by who was asked, bound to the request")
	fmt.Println(protojson.Format(answer))
}

func mutualTLS(authority, certificate, certificateKey string) (credentials.TransportCredentials, error) {
	pem, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", authority)
	}
	pair, err := tls.LoadX509KeyPair(certificate, certificateKey)
	if err != nil {
		return nil, err
	}
	return credentials.NewTLS(&tls.Config{
		RootCAs: roots, Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
	}), nil
}

func makeKey(file string) error {
	key, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	private := hex.EncodeToString(key.D.FillBytes(make([]byte, 32)))
	// A key that is there may be in use: it is never overwritten.
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err := out.WriteString(private + "\n"); err != nil {
		return errors.Join(err, out.Close())
	}
	if err := out.Close(); err != nil {
		return err
	}
	x, y := key.X.FillBytes(make([]byte, 32)), key.Y.FillBytes(make([]byte, 32))
	fmt.Printf("04%x%x\n", x, y)
	return nil
}

func readKey(file string) (*sm2.PrivateKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	private, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("%s holds no hex digits", file)
	}
	return sm2.NewPrivateKey(private)
}

// exitIf ends the program with what went wrong; a refusal of the exchange names its reason in the details.
func exitIf(err error) {
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "first-client:", err)
	if refusal, ok := status.FromError(err); ok {
		for _, detail := range refusal.Details() {
			fmt.Fprintln(os.Stderr, "  ", detail)
		}
	}
	os.Exit(1)
}
