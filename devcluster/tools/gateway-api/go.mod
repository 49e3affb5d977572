module tradingengine.io/devcluster/tools/gateway-api

go 1.26.0

// Only the CRD files in this module's folder are used, no package: `go mod tidy` would drop the line.
require sigs.k8s.io/gateway-api v1.5.1
