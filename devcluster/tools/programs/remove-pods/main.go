// Stops and removes all pods of a container runtime, by the one interface that the kubelet uses too.
// `crictl rmp --all --force` does the same, and costs a build of its own libraries.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtime "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func main() {
	socket := flag.String("socket", "", "the runtime's socket, a path")
	timeout := flag.Duration("timeout", 10*time.Second, "for all pods together")
	version := flag.Bool("version", false, "say which interface it speaks, and end")
	flag.Parse()
	if *version {
		fmt.Println("remove-pods, CRI v1")
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), *timeout)
	defer cancel()
	if err := removeAll(ctx, *socket); err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		os.Exit(1)
	}
}

// removeAll ends the pods side by side: each waits for its own containers to stop.
func removeAll(ctx context.Context, socket string) error {
	connection, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer connection.Close()
	client := runtime.NewRuntimeServiceClient(connection)
	listed, err := client.ListPodSandbox(ctx, &runtime.ListPodSandboxRequest{})
	if err != nil {
		return fmt.Errorf("pods of %s: %w", socket, err)
	}
	failures := make([]error, len(listed.Items))
	var all sync.WaitGroup
	for index, pod := range listed.Items {
		all.Go(func() { failures[index] = remove(ctx, client, pod.Id) })
	}
	all.Wait()
	return errors.Join(failures...)
}

func remove(ctx context.Context, client runtime.RuntimeServiceClient, id string) error {
	if _, err := client.StopPodSandbox(ctx, &runtime.StopPodSandboxRequest{PodSandboxId: id}); err != nil {
		return fmt.Errorf("pod %s: %w", id, err)
	}
	if _, err := client.RemovePodSandbox(ctx, &runtime.RemovePodSandboxRequest{PodSandboxId: id}); err != nil {
		return fmt.Errorf("pod %s: %w", id, err)
	}
	return nil
}
