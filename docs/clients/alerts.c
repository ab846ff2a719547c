/* Every alert of a monitor, each once and in order, kept as a line of JSON at the end of FILE:
       cc -o alerts alerts.c -lzmq -ljansson && ./alerts FILE [tcp://HOST:PORT [KEYS]]
   KEYS is a folder as `ecg-monitor keys init` makes it: client.secret and server.public are read.
   A line holds an alert and the position behind it, so the two cannot disagree, whenever this program is
   killed. The rules are those of docs/PROTOCOL.md, "Never missing one"; alerts.mjs follows them, line for line. */
#define _GNU_SOURCE
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

static json_t *journals, *at; /* by origin, and the one that is followed: position, `had`, `again` */
static json_t *kept;          /* alerts of the lines that are being written */
static int in_doubt = 1, written;
static double asked_s = -1e9, heard_s;
static void *requests;
static FILE *file;

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
static const char *text(const json_t *o, const char *key) {
    const char *value = json_string_value(json_object_get(o, key));
    return value ? value : "";
}
static json_int_t number(const json_t *o, const char *key) { return json_integer_value(json_object_get(o, key)); }
static void count(const char *map, const char *id, int by) {
    json_t *counts = json_object_get(at, map);
    json_object_set_new(counts, id, json_integer(number(counts, id) + by));
}
static void enter(const char *origin) {
    at = json_object_get(journals, origin);
    if (!at) json_object_set_new(journals, origin, at = json_pack("{s:s, s:{}, s:{}}", "origin", origin, "had", "again"));
}
static void go(const json_t *line) { /* goes where a line of FILE says, at the start as later */
    if (!*text(line, "origin")) return; /* an alert without a number: the monitor's journal cannot be written */
    enter(text(line, "origin"));
    for (const char **key = (const char *[]){"journal", "seq", "id", NULL}; *key; key++)
        json_object_set(at, *key, json_object_get(line, *key));
    if (json_object_get(line, "message")) count("had", text(line, "id"), 1);
    if (json_object_get(line, "was_had")) count("again", text(line, "id"), -1);
    if (json_object_get(line, "went_back")) json_object_set_new(at, "again", json_deep_copy(json_object_get(at, "had")));
}
static void move(const char *journal, json_int_t seq, const char *id, const char *why, json_t *value) {
    json_t *line = journal ? json_pack("{s:s, s:s, s:I, s:s}", "origin", text(at, "origin"), "journal", journal, "seq", seq, "id", id)
                           : json_object();
    if (why) json_object_set(line, why, value);
    if (why && !strcmp(why, "message")) json_array_append(kept, value);
    if (json_dumpf(line, file, JSON_COMPACT) || fputc('\n', file) == EOF) perror("cannot write"), exit(1);
    go(line);
    json_decref(line);
    written = 1;
}
static void take(json_t *m) { /* the alert that comes next; one that came again from a restored copy is not kept again */
    if (number(m, "seq") != number(at, "seq") + 1) return;
    int was_had = number(json_object_get(at, "again"), text(m, "id")) > 0;
    move(text(at, "journal"), number(m, "seq"), text(m, "id"), was_had ? "was_had" : "message", was_had ? json_true() : m);
}
static void ask(void) {
    if (now_s() - asked_s < 1) return; /* while no answer comes */
    asked_s = now_s();
    json_t *question = json_pack("{s:s, s:I, s:s, s:s}", "type", "replay", "after", number(at, "seq"), "journal",
                                 text(at, "journal"), "id", text(at, "id"));
    char *bytes = json_dumps(question, JSON_COMPACT);
    zmq_send(requests, bytes, strlen(bytes), ZMQ_DONTWAIT); /* nobody is there: asked again at the next message */
    free(bytes);
    json_decref(question);
}
static void take_page(const json_t *p) {
    const char *origin = *text(p, "origin") ? text(p, "origin") : text(p, "journal");
    asked_s = -1e9;
    if (strcmp(origin, text(at, "origin"))) { /* another journal: on where it was left, or at its beginning */
        enter(origin);
        if (!*text(at, "journal")) json_object_set(at, "journal", json_object_get(p, "journal"));
        ask();
        return;
    }
    json_int_t before = number(at, "seq"), oldest = number(p, "oldest_seq");
    in_doubt = 0;
    const json_t *says = json_object_get(p, "continues"); /* null: an older monitor */
    if (json_is_boolean(says) ? json_is_false(says) : number(p, "newest_seq") < before) { /* an older copy was restored: all is read again, ... */
        fprintf(stderr, "the journal went back behind alert %lld\n", (long long)before);
        move(text(p, "journal"), 0, "", "went_back", json_true()); /* ... and what was had passed over */
    } else if (strcmp(text(p, "journal"), text(at, "journal")))
        move(text(p, "journal"), before, text(at, "id"), NULL, NULL); /* the same by another name */
    if (oldest > number(at, "seq") + 1) move(text(p, "journal"), oldest - 1, "", "truncated", json_true());
    size_t i;
    json_t *m;
    json_array_foreach(json_object_get(p, "messages"), i, m) take(m);
    if (number(at, "seq") != before && number(p, "newest_seq") > number(at, "seq")) ask();
}
static void handle(json_t *m) {
    const char *type = text(m, "type"), *journal = text(m, "journal");
    if (now_s() - heard_s > 2) in_doubt = 1; /* a silence in which whoever is there may have become another */
    int is_ours = !in_doubt && !strcmp(journal, text(at, "journal"));
    if (!strcmp(type, "alert") || !strcmp(type, "technical")) {
        if (number(m, "seq") == 0) move(NULL, 0, "", "message", m);
        else if (!is_ours || number(m, "seq") > number(at, "seq") + 1) ask();
        else take(m);
    } else if (!strcmp(type, "status")) {
        heard_s = now_s();
        if (!is_ours || number(m, "newest_seq") != number(at, "seq")) ask();
    } else if (!strcmp(type, "page")) take_page(m);
    else if (!strcmp(type, "refused")) fprintf(stderr, "refused: %s\n", text(m, "text"));
}
static void hear(void *socket) {
    zmq_msg_t frame;
    do { /* the last frame is the message */
        zmq_msg_init(&frame);
        if (zmq_msg_recv(&frame, socket, 0) < 0) perror("cannot receive"), exit(1);
        json_t *m = zmq_msg_more(&frame) ? NULL : json_loadb(zmq_msg_data(&frame), zmq_msg_size(&frame), 0, NULL);
        if (m) handle(m);
        json_decref(m);
    } while (zmq_msg_more(&frame) && zmq_msg_close(&frame) == 0);
    zmq_msg_close(&frame);
    if (written && (fflush(file) || fdatasync(fileno(file)))) perror("cannot write"), exit(1);
    written = 0; /* the alerts are handled: what else is done with them comes after this line */
    size_t i;
    json_t *m;
    json_array_foreach(kept, i, m) printf("%lld %s %.1f %s%s %s\n", (long long)number(m, "seq"), text(m, "patient"),
                                          json_number_value(json_object_get(m, "time_s")), text(m, "kind"), text(m, "event"), text(m, "state"));
    json_array_clear(kept);
    fflush(stdout);
}
static void go_on_from_file(const char *path) {
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    off_t whole = 0;
    if (!(file = fopen(path, "a+"))) perror(path), exit(2);
    for (rewind(file); (length = getline(&line, &room, file)) > 0 && line[length - 1] == '\n'; whole += length) {
        json_t *said = json_loadb(line, (size_t)length, 0, NULL);
        if (!said) fprintf(stderr, "%s: not a file of this program\n", path), exit(2);
        go(said);
        json_decref(said);
    }
    if (ftruncate(fileno(file), whole)) perror(path), exit(2); /* a line that was being written when it was killed */
    free(line);
}
static void use_key(void *socket, int option, const char *folder, const char *name, int line) {
    char path[512], key[64] = "";
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *holds = fopen(path, "r");
    if (!holds) perror(path), exit(2);
    for (int i = 0; i <= line && fgets(key, sizeof key, holds); i++) key[strcspn(key, "\n")] = 0;
    fclose(holds);
    if (zmq_setsockopt(socket, option, key, strlen(key) + 1)) fprintf(stderr, "%s: no key in line %d\n", path, line + 1), exit(2);
}
static void *made_socket(void *context, int type, const char *keys) {
    int beat_ms = 2000, linger = 0, immediate = 1;
    int64_t most = 8 << 20;
    void *socket = zmq_socket(context, type);
    zmq_setsockopt(socket, ZMQ_HEARTBEAT_IVL, &beat_ms, sizeof beat_ms);
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &most, sizeof most);
    zmq_setsockopt(socket, ZMQ_IMMEDIATE, &immediate, sizeof immediate);
    if (keys) {
        use_key(socket, ZMQ_CURVE_PUBLICKEY, keys, "client.secret", 0);
        use_key(socket, ZMQ_CURVE_SECRETKEY, keys, "client.secret", 1);
        use_key(socket, ZMQ_CURVE_SERVERKEY, keys, "server.public", 0);
    }
    return socket;
}
int main(int argc, char **argv) {
    const char *endpoint = argc > 2 ? argv[2] : "tcp://127.0.0.1:5571", *keys = argc > 3 ? argv[3] : NULL;
    char asks[512];
    if (argc < 2 || !strrchr(endpoint, ':')) return fprintf(stderr, "usage: %s FILE [ENDPOINT [KEYS]]\n", argv[0]), 2;
    int before_port = (int)(strrchr(endpoint, ':') + 1 - endpoint);
    if (!strncmp(endpoint, "ipc:", 4)) snprintf(asks, sizeof asks, "%s.requests", endpoint);
    else snprintf(asks, sizeof asks, "%.*s%d", before_port, endpoint, atoi(endpoint + before_port) + 1);
    journals = json_object(), at = json_object(), kept = json_array();
    go_on_from_file(argv[1]);
    void *context = zmq_ctx_new(), *alerts = made_socket(context, ZMQ_SUB, keys), *events = zmq_socket(context, ZMQ_PAIR);
    requests = made_socket(context, ZMQ_DEALER, keys);
    zmq_socket_monitor(alerts, "inproc://events", ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    zmq_connect(events, "inproc://events");
    if (zmq_connect(alerts, endpoint) || zmq_connect(requests, asks)) return fprintf(stderr, "%s: %s\n", endpoint, zmq_strerror(errno)), 2;
    for (const char **topic = (const char *[]){"alert.", "technical.", "status", NULL}; *topic; topic++)
        zmq_setsockopt(alerts, ZMQ_SUBSCRIBE, *topic, strlen(*topic));
    heard_s = now_s();
    for (double told_s = heard_s;;) {
        zmq_pollitem_t items[] = {{alerts, 0, ZMQ_POLLIN, 0}, {requests, 0, ZMQ_POLLIN, 0}, {events, 0, ZMQ_POLLIN, 0}};
        if (zmq_poll(items, 3, 1000) < 0) return perror("cannot wait"), 1;
        char event[512];
        while (items[2].revents && zmq_recv(events, event, sizeof event, ZMQ_DONTWAIT) >= 0)
            in_doubt = 1; /* whoever is there now may have another journal */
        if (items[1].revents) hear(requests);
        if (items[0].revents) hear(alerts);
        if (now_s() - heard_s >= 3 && now_s() - told_s >= 1)
            fprintf(stderr, "no heartbeat for %.0f s: nobody judges, or nobody is heard\n", (told_s = now_s()) - heard_s);
    }
}
