"""The trainer: config, optimizer, step, loop, loading.

In the order in which a run needs them:

    config       the experiment; `optim_config` and `functions` are parts of it
    run_task     the task, made from the config
    step         `Program`: the model, its optimizer (`optimizer`, `schedule`,
                 `trainable`) and the compiled step on `state.TrainState` (`accumulate`,
                 `adversarial`)
    resume       the first state: restored, or fresh (`init_from`, `workdir`)
    trainer      the loop, with `callbacks`, `validation` and `skips`
    load         a trained model, read from its checkpoint
"""
