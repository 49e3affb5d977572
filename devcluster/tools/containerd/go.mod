module tradingengine.io/devcluster/tools/containerd

go 1.26.0

require github.com/containerd/containerd/v2 v2.3.4

tool (
	github.com/containerd/containerd/v2/cmd/containerd
	github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2
	github.com/containerd/containerd/v2/cmd/ctr
)
