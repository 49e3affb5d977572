module tradingengine.io/devcluster/tools/probe

go 1.26.0
