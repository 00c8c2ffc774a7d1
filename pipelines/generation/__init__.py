"""What `enr datagen` adds to `enr.datagen`: its options, its forecast, and a cluster to render on."""
