// A subscriber in Go: verify a webhook, then trust it.
//
//	WEBHOOK_SECRET=whsec_... go run . [PORT]
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const mostBytes = 1 << 20

// The part of an event that this subscriber needs.
type event struct {
	Type string `json:"type"`
	Data struct {
		ID string `json:"id"`
	} `json:"data"`
}

type subscriber struct {
	webhook *standardwebhooks.Webhook
	seen    sync.Map // in a real service: a table of events, with the id as a unique key
}

// begin: receive
func (s *subscriber) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The raw bytes: decoded and encoded again, they would differ.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, mostBytes))
	if err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if err := s.webhook.Verify(body, r.Header); err != nil {
		fmt.Println("refused:", err)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var e event
	if err := json.Unmarshal(body, &e); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	id := r.Header.Get("webhook-id")
	if _, duplicate := s.seen.LoadOrStore(id, true); duplicate { // a webhook may come twice
		fmt.Println("duplicate:", id)
	} else if !strings.HasPrefix(e.Type, "job.") { // a test, or a new type
		fmt.Println("ignored:", id, e.Type)
	} else {
		go fmt.Println("verified:", id, e.Type, e.Data.ID) // your work goes here
	}
	w.WriteHeader(http.StatusNoContent) // before the work: the gateway waits 15 s at most
}

// end: receive

func main() {
	secret := os.Getenv("WEBHOOK_SECRET")
	if secret == "" { // the library accepts an empty one, with which anybody can sign
		log.Fatal("WEBHOOK_SECRET is not set")
	}
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		log.Fatal(err)
	}
	port := "3000"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on http://%s/hook\n", listener.Addr())
	server := &http.Server{Handler: &subscriber{webhook: webhook}, ReadTimeout: 15 * time.Second}
	log.Fatal(server.Serve(listener))
}
