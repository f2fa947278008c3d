#include "train/trainer.h"
#include "base/log.h"
#include "base/mem.h"
#include "network/loss.h"
#include "network/optim.h"
#include "train/checkpoint.h"
#include "train/describe.h"
#include "train/folder.h"
#include "train/generations.h"
#include "train/give_up.h"
#include "train/group.h"
#include "train/handover.h"
#include "train/history.h"
#include "train/memory.h"
#include "train/near.h"
#include "train/pretrained.h"
#include "train/regroup.h"
#include "train/share.h"
#include "train/validate.h"
#include <math.h>
#include <string.h>

typedef struct {
    const sf_train_options *opt;
    sf_comm *comm; /* of the ranks that share this training; rank 0 writes all files */
    sf_group *group;
    int64_t first, count; /* our samples of each batch */
    const sf_config *cfg;
    const sf_recipe *recipe;
    const sf_labels *labels;
    sf_cases *cases;
    sf_handover *previous_train, *previous_val; /* NULL: not the second stage of a cascade */
    sf_loader *train, *val;
    sf_network *net;
    sf_optim optim;
    sf_loss_options loss;
    sf_train_state state;
    sf_prof prof;
    int64_t val_iterations;
    sf_train_memory memory;
    double saved_at;   /* when checkpoint_latest was last written */
    bool stepped;      /* has this run trained a step? */
    const char *stage; /* what goes on, for the text of a failure; NULL: still looking at options */
    bool named;        /* the last failure names its stage */
    sf_generations under_way;
    char dir[SF_PATH_MAX], best[SF_PATH_MAX], final[SF_PATH_MAX], history[SF_PATH_MAX];
} trainer;

enum { RUN_LOSS, RUN_COUNT }; /* running sums inside an epoch */

static int64_t or_default(int64_t given, int64_t fallback) { return given > 0 ? given : fallback; }

/* Rank 0 touches files; all wait for it and hear when it failed. */
static bool writes(const trainer *t) { return sf_comm_rank(t->comm) == 0; }

/* All ranks hear of a failure of one, and in which stage it was. */
static sf_status agree(trainer *t, sf_status mine)
{
    const sf_status st =
        sf_comm_agree(t->comm, sf_train_name_stage(mine, t->stage, t->dir, &t->state));
    t->named = t->stage && st != SF_OK;
    return st;
}

/* What rank 0 sees: on a network file system others may see it later. */
static sf_status ask_first(const trainer *t, bool *answer)
{
    return sf_comm_bcast(t->comm, answer, sizeof *answer, 0);
}

static sf_status make_paths(trainer *t)
{
    SF_TRY(sf_work_fold_dir(t->dir, t->opt->work, &t->opt->key));
    SF_TRY(sf_generations_names(&t->under_way, t->dir));
    SF_TRY(sf_path_join(t->best, t->dir, "checkpoint_best.h5", NULL));
    SF_TRY(sf_path_join(t->final, t->dir, "checkpoint_final.h5", NULL));
    SF_TRY(sf_path_join(t->history, t->dir, "history.jsonl", NULL));
    if (!writes(t)) return SF_OK;
    SF_TRY(sf_path_make_dirs(t->dir));
    SF_TRY(sf_path_sweep_tmp(t->dir));
    return sf_generations_settle(&t->under_way);
}

static sf_status fresh_state(trainer *t)
{
    const sf_train_options *o = t->opt;
    t->state =
        (sf_train_state){ .key = o->key,
                          .epochs = or_default(o->epochs, t->recipe->train.epochs),
                          .iterations = or_default(o->iterations, t->recipe->train.iterations),
                          .batch = or_default(o->batch, t->cfg->batch_size),
                          .best_ema = NAN,
                          .ema = NAN,
                          .n_running = RUN_COUNT };
    t->val_iterations = or_default(o->val_iterations, t->recipe->train.val_iterations);
    SF_TRY(sf_mem_calloc(&t->state.loss_sum, RUN_COUNT, sizeof(double), SF_MEM_MISC));
    return sf_train_describe(&t->state.extra_json, o, t->cfg);
}

static sf_status make_network(trainer *t)
{
    sf_network_options o = { .arch = &t->cfg->arch,
                             .in_channels =
                                 sf_plans_input_channels(t->opt->plans, t->cfg, t->labels),
                             .heads = t->labels->n_heads,
                             .dtype = t->opt->precision,
                             .training = true,
                             .deep_supervision = t->recipe->train.deep_supervision,
                             .exact = t->opt->exact,
                             .threads = t->opt->threads };
    memcpy(o.patch, t->cfg->patch, sizeof o.patch);
    sf_group_share(t->group, &o);
    t->loss.gather = o.whole > 0 ? sf_group_gather : NULL;
    t->loss.gather_user = t->group;
    t->first = o.first;
    t->count = o.batch;
    SF_TRY(sf_network_create(&t->net, &o));
    int64_t field[3];
    sf_network_receptive_field(t->net, field);
    const sf_params *p = sf_network_params(t->net);
    sf_log(SF_LOG_INFO, "network",
           "parameters=%lld network_mib=%.0f receptive_field=%lldx%lldx%lld patch=%lldx%lldx%lld "
           "batch=%lld gmac_forward=%.2f precision=%s",
           (long long)p->total, (double)sf_network_bytes(t->net) / 1048576.0, (long long)field[0],
           (long long)field[1], (long long)field[2], (long long)o.patch[0], (long long)o.patch[1],
           (long long)o.patch[2], (long long)o.batch, sf_network_forward_macs(t->net) / 1e9,
           sf_precision_name(o.dtype));
    char scope[256];
    sf_work_scope(scope, &t->opt->key);
    sf_params_init(sf_network_params(t->net), t->opt->key.seed, scope,
                   t->recipe->train.leaky_slope);
    return SF_OK;
}

static sf_status make_loader(trainer *t, bool training, sf_loader **out)
{
    const sf_id_list *list = training ? t->opt->train : t->opt->val;
    const sf_loader_options o = { .cases = t->cases,
                                  .ids = (const char *const *)list->id,
                                  .n_ids = list->count,
                                  .cfg = t->cfg,
                                  .recipe = t->recipe,
                                  .labels = t->labels,
                                  .previous = sf_handover_labels(training ? t->previous_train
                                                                          : t->previous_val),
                                  .key = t->opt->key,
                                  .batch = t->state.batch,
                                  .first = t->first,
                                  .count = t->count,
                                  .training = training,
                                  .mirror = t->opt->mirror,
                                  .threads = t->opt->loader_threads,
                                  .depth = 3 };
    return sf_loader_create(out, &o);
}

static sf_status cut_history(trainer *t, int64_t epoch)
{
    return writes(t) ? sf_history_cut(t->history, epoch) : SF_OK;
}

/* The state `s` of the file `path` becomes ours. */
static sf_status adopt(trainer *t, const sf_train_state *s, const char *path)
{
    SF_TRY(sf_train_state_same_run(&t->state, s, path));
    if (strcmp(s->isa, sf_network_isa()) != 0)
        sf_log(SF_LOG_WARN, "resume", "isa=%s checkpoint_isa=%s: the last bits will differ",
               sf_network_isa(), s->isa);
    SF_CHECK(s->n_running == RUN_COUNT, SF_EDATA,
             "%s: made by another version of this program; remove it to start afresh", path);
    SF_CHECK(s->epoch >= 0 && s->epoch <= s->epochs && s->iteration >= 0 &&
                 s->iteration <= s->iterations,
             SF_EDATA, "%s: epoch %lld, step %lld cannot be; remove it to start afresh", path,
             (long long)s->epoch, (long long)s->iteration);
    t->state.epoch = s->epoch;
    t->state.iteration = s->iteration;
    t->state.best_ema = s->best_ema;
    t->state.ema = s->ema;
    memcpy(t->state.loss_sum, s->loss_sum, RUN_COUNT * sizeof(double));
    SF_TRY(cut_history(t, s->epoch));
    sf_log(SF_LOG_INFO, "resume", "epoch=%lld iteration=%lld", (long long)s->epoch,
           (long long)s->iteration);
    return SF_OK;
}

static sf_status fresh_weights(trainer *t)
{
    if (t->opt->pretrained)
        SF_TRY(sf_pretrained_apply(sf_network_params(t->net), t->opt->pretrained));
    return cut_history(t, 0);
}

/* From random weights, or where the last run ended. */
static sf_status begin_or_resume(trainer *t)
{
    bool begun = sf_generations_any(&t->under_way);
    const char *path = NULL;
    sf_train_state s = { 0 };
    SF_TRY(ask_first(t, &begun));
    if (!begun) return agree(t, fresh_weights(t));
    sf_params *params = sf_network_params(t->net);
    sf_status st = SF_OK;
    t->stage = "resume";
    if (writes(t)) st = sf_generations_load(&t->under_way, sf_comm_self(), &s, params, &path);
    if (st == SF_OK && writes(t)) st = adopt(t, &s, path);
    sf_train_state_free(&s);
    SF_TRY(agree(t, st));
    SF_TRY(sf_state_share(t->comm, &t->state, params));
    return sf_train_tell_regroup(t->comm, &t->state, t->opt->ranks_before);
}

/* path NULL: as the newest of those to resume from. */
static sf_status save(trainer *t, const char *path)
{
    sf_status st = SF_OK;
    if (t->opt->no_checkpoints) return SF_OK;
    t->stage = "checkpoint";
    SF_TRY(sf_group_collect(t->group));
    const sf_params *p = sf_network_params(t->net);
    if (writes(t))
        st = path ? sf_checkpoint_save(path, &t->state, p)
                  : sf_generations_save(&t->under_way, &t->state, p);
    return agree(t, st);
}

static sf_status save_timed(trainer *t, const char *path)
{
    sf_prof_begin(&t->prof, SF_EV_CHECKPOINT);
    SF_TRY(save(t, path));
    sf_prof_end(&t->prof, SF_EV_CHECKPOINT, 0, 0);
    return SF_OK;
}

static sf_status save_latest(trainer *t)
{
    SF_TRY(save_timed(t, NULL));
    t->saved_at = sf_now();
    return SF_OK;
}

/* The next batch through the network. All ranks agree on how it went: what follows is collective.
 * Ranks that share a sample exchange halos within the pass: they agree before it as well. */
static sf_status forward(trainer *t, sf_loader *from, const sf_batch **b)
{
    const bool entangled = sf_comm_size(t->comm) > t->state.batch;
    t->stage = "next batch";
    sf_status st = sf_loader_next(from, b, &t->prof);
    if (entangled) SF_TRY(agree(t, st));
    if (st == SF_OK) t->stage = "forward pass";
    sf_prof_begin(&t->prof, SF_EV_FORWARD);
    if (st == SF_OK) st = sf_network_forward(t->net, (*b)->data, (*b)->count);
    sf_prof_end(&t->prof, SF_EV_FORWARD, 2 * sf_network_forward_macs(t->net), 0);
    if (st != SF_OK && entangled) sf_train_give_up(st, t->stage, t->dir, &t->state);
    if (st == SF_OK) st = sf_loss_check(t->net, (*b)->seg, &t->loss);
    sf_prof_begin(&t->prof, SF_EV_REDUCE);
    st = agree(t, st);
    sf_prof_end(&t->prof, SF_EV_REDUCE, 0, 0);
    return st;
}

static sf_status forward_loss(trainer *t, sf_loader *from, const sf_batch **b, bool grad,
                              sf_loss_report *report)
{
    SF_TRY(forward(t, from, b));
    t->stage = "loss";
    sf_prof_begin(&t->prof, SF_EV_LOSS);
    SF_TRY(sf_loss_evaluate(t->net, (*b)->seg, &t->loss, grad, report));
    sf_prof_end(&t->prof, SF_EV_LOSS, 0, 0);
    if (isfinite(report->total)) return SF_OK;
    /* all ranks have the same loss */
    return agree(t, SF_FAIL(SF_EDATA,
                            "the loss is not finite (%s): look for extreme values in the images of "
                            "this fold (segfleet verify), then remove this folder's "
                            "checkpoint_latest.h5",
                            grad ? "training" : "validation"));
}

static sf_status train_step(trainer *t, double lr)
{
    const sf_batch *batch;
    sf_loss_report report;
    SF_TRY(forward_loss(t, t->train, &batch, true, &report));
    t->stage = "backward pass";
    sf_prof_begin(&t->prof, SF_EV_BACKWARD);
    SF_TRY(sf_group_backward(t->group));
    sf_prof_end(&t->prof, SF_EV_BACKWARD, 4 * sf_network_forward_macs(t->net), 0);
    t->stage = "optimiser step";
    sf_prof_begin(&t->prof, SF_EV_OPTIMISER);
    SF_TRY(sf_group_step(t->group, &t->optim, lr, t->opt->threads, NULL));
    sf_prof_end(&t->prof, SF_EV_OPTIMISER, 0, 0);
    t->state.loss_sum[RUN_LOSS] += report.total;
    t->state.iteration++;
    t->stepped = true;
    return SF_OK;
}

/* One rank that must stop, or whose clock says that a checkpoint is due, speaks for all. */
static sf_status ask_all(trainer *t, int64_t stop_due[2])
{
    const sf_train_options *o = t->opt;
    stop_due[0] = o->stop && o->stop(o->stop_user);
    stop_due[1] = o->checkpoint_seconds > 0 && sf_now() - t->saved_at > o->checkpoint_seconds;
    sf_prof_begin(&t->prof, SF_EV_REDUCE);
    SF_TRY(sf_comm_max_i64(t->comm, stop_due, 2));
    sf_prof_end(&t->prof, SF_EV_REDUCE, 0, 0);
    return SF_OK;
}

/* Between two steps, or two batches of the online validation: stop, or a checkpoint, when due. */
static sf_status pause_here(trainer *t)
{
    const sf_train_state *s = &t->state;
    int64_t stop_due[2];
    sf_comm_poll(); /* other nodes may be waiting for their next task */
    SF_TRY(ask_all(t, stop_due));
    if (stop_due[0] || stop_due[1]) SF_TRY(save_latest(t));
    SF_CHECK(!stop_due[0], SF_ESTOP, "stopped at epoch %lld, iteration %lld: run again to %s",
             (long long)s->epoch, (long long)s->iteration,
             t->opt->no_checkpoints ? "start anew, as no checkpoint was wanted" : "continue");
    return SF_OK;
}

static sf_status train_part(trainer *t, double lr)
{
    sf_train_state *s = &t->state;
    t->stage = "next batch";
    SF_TRY(agree(t, sf_loader_seek(t->train, s->epoch, s->iteration, s->iterations)));
    while (s->iteration < s->iterations) {
        SF_TRY(train_step(t, lr));
        SF_TRY(pause_here(t));
    }
    return SF_OK;
}

/* Online validation: mean loss and hard Dice per class over the validation batches. Stopped, it is
 * repeated as a whole: the checkpoint says that all steps of the epoch are done. */
static sf_status validate_part(trainer *t, sf_epoch_record *rec, double *dice)
{
    const int n = t->labels->n_eval;
    double *count = NULL, loss = 0;
    SF_TRY(sf_mem_calloc(&count, (size_t)n * 3, sizeof *count, SF_MEM_MISC));
    sf_status st;
    t->stage = "online validation";
    SF_GOTO(done, st, agree(t, sf_loader_seek(t->val, t->state.epoch, 0, t->val_iterations)));
    for (int64_t i = 0; i < t->val_iterations; i++) {
        const sf_batch *batch;
        sf_loss_report report;
        SF_GOTO(done, st, forward_loss(t, t->val, &batch, false, &report));
        SF_GOTO(
            done, st,
            sf_loss_online_counts(t->net, batch->seg, t->labels, count, count + n, count + 2 * n));
        loss += report.total;
        if (t->stepped) SF_GOTO(done, st, pause_here(t)); /* else a short job would never get by */
    }
    SF_GOTO(done, st, sf_comm_sum_f64(t->comm, count, 3 * n)); /* whole numbers: exact */
    double sum = 0;
    int seen = 0;
    for (int c = 0; c < n; c++) {
        const double all = 2 * count[c] + count[n + c] + count[2 * n + c];
        dice[c] = all > 0 ? 2 * count[c] / all : NAN;
        if (all > 0) {
            sum += dice[c];
            seen++;
        }
    }
    rec->val_loss = loss / (double)t->val_iterations;
    rec->dice = seen ? sum / seen : NAN;
    rec->class_dice = dice;
    rec->n_classes = n;
done:
    sf_mem_free(count);
    return st;
}

/* Shall this group be left for another one? Without checkpoints there is nothing to go on from. */
static sf_status leaves(trainer *t, bool *leave)
{
    const sf_train_options *o = t->opt;
    if (!o->leave || o->no_checkpoints) return SF_OK;
    *leave = writes(t) && o->leave(o->leave_user);
    return ask_first(t, leave);
}

static sf_status close_epoch(trainer *t, sf_epoch_record *rec)
{
    sf_train_state *s = &t->state;
    const double keep = t->recipe->train.ema;
    if (rec->dice == rec->dice)
        s->ema = s->ema == s->ema ? keep * s->ema + (1 - keep) * rec->dice : rec->dice;
    rec->ema = s->ema;
    rec->train_loss = s->loss_sum[RUN_LOSS] / (double)s->iterations;
    const bool best = s->ema == s->ema && !(s->ema <= s->best_ema);
    if (best) s->best_ema = s->ema;
    memset(s->loss_sum, 0, RUN_COUNT * sizeof(double));
    s->epoch++;
    s->iteration = 0;
    SF_TRY(agree(t, writes(t) ? sf_history_append(t->history, rec) : SF_OK));
    sf_log(SF_LOG_INFO, "epoch",
           "cfg=%s fold=%d epoch=%lld/%lld lr=%.5f loss=%.4f val_loss=%.4f dice=%.4f ema=%.4f "
           "sec=%.1f wait=%.2f eta_min=%.1f%s",
           t->cfg->name, s->key.fold, (long long)s->epoch, (long long)s->epochs, rec->lr,
           rec->train_loss, rec->val_loss, rec->dice, rec->ema, rec->seconds, rec->wait,
           rec->seconds * (double)(s->epochs - s->epoch) / 60, best ? " best=1" : "");
    if (best) SF_TRY(save_timed(t, t->best));
    const int64_t every = t->recipe->train.checkpoint_every;
    int64_t stop_due[2];
    SF_TRY(ask_all(t, stop_due));
    const bool due = (every > 0 && s->epoch % every == 0) || stop_due[1];
    if (s->epoch == s->epochs) return SF_OK;
    bool leave = false;
    SF_TRY(leaves(t, &leave));
    if (due || leave) SF_TRY(save_latest(t));
    SF_CHECK(!leave, SF_ESTOP, "left after epoch %lld, to go on with other ranks",
             (long long)s->epoch);
    return SF_OK;
}

/* Seconds in which the step stood still for want of a batch; without workers it makes them. */
static double waited(const trainer *t)
{
    return t->prof.ev[SF_EV_WAIT].seconds + t->prof.ev[SF_EV_AUGMENT].seconds;
}

static sf_status run_epoch(trainer *t)
{
    const double begin = sf_now(), wait = waited(t);
    sf_epoch_record rec = { .epoch = t->state.epoch,
                            .lr = sf_optim_lr(&t->optim, t->state.epoch, t->state.epochs) };
    SF_TRY(train_part(t, rec.lr));
    double *dice = NULL;
    SF_TRY(sf_mem_calloc(&dice, (size_t)t->labels->n_eval, sizeof *dice, SF_MEM_MISC));
    sf_prof_begin(&t->prof, SF_EV_VALIDATE);
    sf_status st = validate_part(t, &rec, dice);
    sf_prof_end(&t->prof, SF_EV_VALIDATE, 0, 0);
    rec.seconds = sf_now() - begin;
    rec.wait = waited(t) - wait;
    if (st == SF_OK) st = close_epoch(t, &rec);
    sf_mem_free(dice);
    return st;
}

static sf_status drop_old(const trainer *t)
{
    return writes(t) ? sf_train_drop_predictions(t->dir, t->opt->part) : SF_OK;
}

static sf_status make_loaders(trainer *t)
{
    SF_TRY(make_loader(t, true, &t->train));
    return make_loader(t, false, &t->val);
}

static sf_status train_all(trainer *t)
{
    t->stage = "start";
    SF_TRY(agree(t, make_loaders(t)));
    SF_TRY(begin_or_resume(t));
    const int64_t scratch = sf_loader_scratch_bytes(t->train) + sf_loader_scratch_bytes(t->val);
    SF_TRY(sf_train_memory_foretell(&t->memory, t->comm, t->opt, t->cases, scratch,
                                    sf_network_params(t->net)->total));
    t->saved_at = sf_now();
    while (t->state.epoch < t->state.epochs) SF_TRY(run_epoch(t));
    SF_TRY(agree(t, drop_old(t)));
    SF_TRY(save_timed(t, t->final));
    sf_train_log_times(&t->prof);
    return SF_OK;
}

/* Weights that are there: of this very run, or the user must hear of it. */
static sf_status load_weights(trainer *t, const char *path)
{
    sf_train_state s = { 0 };
    sf_status st = sf_checkpoint_load(path, &s, sf_network_params(t->net), false);
    if (st == SF_OK) st = sf_train_state_same_run(&t->state, &s, path);
    sf_train_state_free(&s);
    return st;
}

static sf_status take_weights(trainer *t)
{
    const char *path = t->opt->part == SF_TRAIN_VALIDATE_BEST ? t->best : t->final;
    SF_CHECK(sf_path_is_file(path), SF_EINVAL,
             "%s is not there: train this fold before validating it", path);
    SF_TRY(load_weights(t, path));
    return drop_old(t);
}

static sf_status validate(trainer *t)
{
    /* batches and activations make room for the windows */
    t->stage = "validation";
    sf_loader_destroy(&t->train);
    sf_loader_destroy(&t->val);
    sf_network_keep_params(t->net);
    sf_prof_begin(&t->prof, SF_EV_PREDICT);
    SF_TRY(sf_validate_fold(t->comm, t->opt, t->cases, sf_network_params(t->net),
                            sf_handover_labels(t->previous_val), t->dir));
    sf_prof_end(&t->prof, SF_EV_PREDICT, 0, 0);
    return SF_OK;
}

static sf_status validate_anew(trainer *t)
{
    SF_TRY(agree(t, take_weights(t)));
    return validate(t);
}

/* Labels of the first stage of a cascade: for validation always, for training when there is any
 * left to do. */
static sf_status open_previous(trainer *t)
{
    const sf_train_options *o = t->opt;
    if (!t->cfg->previous_stage) return SF_OK;
    SF_CHECK(o->splits, SF_EINTERNAL, "%s: a second stage without splits", t->cfg->name);
    SF_TRY(
        sf_handover_open(&t->previous_val, o->work, &o->key, t->cfg, o->splits, o->val, t->cases));
    if (sf_path_is_file(t->final) || o->part != SF_TRAIN_WHOLE) return SF_OK;
    return sf_handover_open(&t->previous_train, o->work, &o->key, t->cfg, o->splits, o->train,
                            t->cases);
}

/* What is to be trained, before any big file is touched. */
static sf_status describe(trainer *t)
{
    const sf_train_options *o = t->opt;
    t->recipe = o->plans->recipe;
    t->labels = &o->dataset->labels;
    SF_TRY(sf_plans_config(&t->cfg, o->plans, o->key.config));
    SF_TRY(make_paths(t));
    SF_TRY(fresh_state(t));
    t->optim = (sf_optim){ .lr0 = t->recipe->train.lr,
                           .momentum = t->recipe->train.momentum,
                           .decay = t->recipe->train.decay,
                           .clip_norm = t->recipe->train.clip,
                           .poly_power = t->recipe->train.poly_power };
    t->loss = (sf_loss_options){ .labels = t->labels,
                                 .batch_dice = t->cfg->batch_dice,
                                 .smooth = t->recipe->train.dice_smooth,
                                 .weight_ce = t->recipe->train.weight_ce,
                                 .weight_dice = t->recipe->train.weight_dice,
                                 .global_batch = t->state.batch };
    return SF_OK;
}

static sf_status setup(trainer *t)
{
    const sf_train_options *o = t->opt;
    char container[SF_PATH_MAX];
    SF_TRY(sf_work_container(container, o->work, sf_plans_data_owner(o->plans, t->cfg)->name));
    SF_TRY(sf_near_open(&t->cases, o->near, container));
    SF_TRY(open_previous(t));
    return make_network(t);
}

static sf_status train_and_validate(trainer *t)
{
    const sf_train_options *o = t->opt;
    bool trained = sf_path_is_file(t->final);
    SF_TRY(ask_first(t, &trained));
    SF_TRY(trained ? agree(t, load_weights(t, t->final)) : train_all(t));
    /* also what a kill after the last epoch left */
    const bool clear = writes(t) && !o->no_checkpoints;
    SF_TRY(agree(t, clear ? sf_generations_remove(&t->under_way) : SF_OK));
    bool done = sf_train_is_done(o->work, &o->key, o->plans, o->val, o->save_probabilities);
    SF_TRY(ask_first(t, &done));
    SF_TRY(done ? SF_OK : validate(t));
    return sf_train_memory_measure(&t->memory, t->comm);
}

sf_status sf_train_run(sf_comm *group, const sf_train_options *opt)
{
    trainer t = { .opt = opt, .comm = group };
    sf_status st;
    sf_train_memory_begin(&t.memory);
    SF_GOTO(done, st, agree(&t, describe(&t)));
    st = sf_group_create(&t.group, group, &t.cfg->arch, t.cfg->patch, t.state.batch);
    SF_GOTO(done, st, agree(&t, st)); /* too many ranks: all of them say so */
    SF_GOTO(done, st, agree(&t, setup(&t)));
    SF_GOTO(done, st, sf_group_attach(t.group, t.net, 0, &t.prof));
    if (writes(&t)) sf_train_open_log(t.dir, opt, &t.state, sf_comm_size(group));
    SF_GOTO(done, st, opt->part == SF_TRAIN_WHOLE ? train_and_validate(&t) : validate_anew(&t));
done:
    /* the others wait for us, or MPI itself has failed */
    if (st != SF_OK && st != SF_ESTOP && !sf_comm_all_know(group))
        sf_train_give_up(st, t.stage, t.dir, &t.state);
    if (!t.named) st = sf_train_name_stage(st, t.stage, t.dir, &t.state);
    sf_prof_add(opt->prof, &t.prof);
    if (writes(&t)) sf_log_file_close();
    sf_loader_destroy(&t.train);
    sf_loader_destroy(&t.val);
    sf_group_destroy(&t.group);
    sf_network_destroy(&t.net);
    sf_handover_close(&t.previous_train);
    sf_handover_close(&t.previous_val);
    sf_cases_close(&t.cases);
    sf_train_state_free(&t.state);
    return st;
}
