# Shared by the scripts that write cfgs to compare; source it.
# with_keys RATE L2-KEYS TAIL-KEYS KD-KEYS [PROJECTOR-KEYS TEACHER-KEYS AUGMENT-KEYS] <FROM >TO: a SimKD cfg with keys added to its
# sections, where "-" for KD-KEYS adds no [kd]. Keys are separated by spaces; those that FROM has of the L2 go, of a projector where
# there are others.
with_keys() {
    awk -v rate="$1" -v l2="$2" -v tail="$3" -v kd="$4" -v projector="${5:-}" -v teacher="${6:-}" -v augment="${7:-}" '
        function keys(text,  n, i, key) { n = split(text, key, " "); for (i = 1; i <= n; ++i) print key[i] }
        /^learning_rate=/ { $0 = "learning_rate=" rate }
        /^scale=/ || (projector != "" && /^reduction=/) { next }
        { print }
        /^\[teacher\]/ { keys(teacher) }
        /^\[augment\]/ { keys(augment) }
        /^\[projector\]/ { keys(projector) }
        /^\[feature_l2\]/ { keys(l2) }
        /^\[reused_classifier\]/ { keys(tail); if (kd != "-") { print "\n[kd]"; keys(kd) } }'
}
