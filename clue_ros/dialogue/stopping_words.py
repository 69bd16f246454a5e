"""The words of stopping and what may stand around them: the dictionary of `stopping`.

All in the form that `stopping` reads: lower case, no signs, no accents ("don't" is "dont", "e-stop" is "e stop").
"""

from __future__ import annotations

from typing import FrozenSet, Iterable, List


def _phrases(text: str) -> List[str]:
    return [line.strip() for part in text.strip().splitlines() for line in part.split("|") if line.strip()]


def _with(heads: Iterable[str], tails: Iterable[str]) -> List[str]:
    return [f"{head} {tail}" for head in heads for tail in tails]


_PLACES = ("here", "there", "now", "right there", "right here", "right now", "where you are")
_MACHINES = (
    "robot", "arm", "arms", "gripper", "hand", "machine", "motor", "motors", "base", "wheels", "motion", "movement",
    "lot", "madness", "nonsense", "whole thing",
    "action", "task", "program", "process", "search", "dialogue", "dialog", "conversation", "thing", "mission", "job",
)  # fmt: skip
_SOME_TIME = (
    "moment", "minute", "min", "second", "sec", "bit", "little", "little bit", "while", "tick",
)  # fmt: skip

# The robot must not go on: a dialogue ends, its target is taken back, and so does everything that waits.
HALT: FrozenSet[str] = frozenset(
    [
        *_phrases("""
        stop | stopp | stops | stahp | stop dead | stop all motion | stop all movement | cease | cease and desist
        desist | nobody move | dont you move | kill it | do nothing | stand by | standby | easy | easy there | easy now
        stay | keep still | keep where you are | remain where you are | remain there | get back | back up | get away
        get away from me | get away from it | move away | let go | let go of me | let go of it | let go of that
        let me stop you there | enough is enough | a moment | give me a moment | give me a second | give me a minute
        give me a sec | holdon | woa | would you mind stopping | would you mind waiting | do you mind stopping
        do you mind waiting | halt | freeze | whoa | woah | abort | quit | terminate | pause | hold | enough
        estop | e stop | emergency | emergency stop | emergency halt | emergency shutdown | emergency brake
        full stop | hard stop | stop all | stop everything | stop everybody | stop everyone
        stop what you are doing | stop what youre doing | stop whatever you are doing | stop whatever youre doing
        stop robot | come to a stop | come to a halt | quit it | quit that | abort it | abort that
        abort this | abort everything | abort mission | abort the mission | cancel everything | cancel all
        terminate it | terminate that | end it | end this | cut it out | knock it off | hold it | hold on | hold up
        hold still | hold position | hold everything | hold fire | hold your horses | hold on to your horses
        hang on | hang on there | time out | timeout | stand still | stand down | stand back | stay still
        stay there | stay put | stay where you are | stay away | stay back | back off | hands off | go away | wait
        wait up | wait for me | wait for us | one moment | one minute | one second | one sec | not now | not yet
        just a moment | just a minute | just a second | just a sec | hold that thought | thats enough
        that is enough | enough of that | enough of this | thats quite enough | shut up | shut down | shut it down
        shut it off | turn off | turn it off | switch off | switch it off | power off | power down | stop it all
        stop all of it | dont | do not | dont you dare | dont dare
        kill it | kill the power | no more | i mean stop | i mean wait
        brake | brakes | hit the brakes | put the brakes on | put on the brakes | kill switch | hit the kill switch
        hold your fire | hang fire | hang about | steady | steady on | easy tiger | whoa nelly | woah nelly
        back away | step back | move back | keep back | keep off | keep away | keep away from me | keep your hands off
        cut it | pack it in | leave off | lay off | give it a rest | thats enough of that | not so fast | mayday
        let me go | release me | get off | get off me | let go of my hand | let go of my arm | let go of my finger
        let go of my hair | let go of my sleeve | youre hurting me | you are hurting me | that hurts | it hurts
        no moving | no touching | no more moving | cease all activity | cease all motion | cease fire
        stop completely | stop entirely | stop altogether | stop in your tracks | stop dead in your tracks | dead stop
        complete stop | come to a full stop | come to a complete stop | come to a dead stop | pull the plug
        im pulling the plug | unplug it | go to sleep | stopit | quit moving
        quit doing that | stopped | stoped | stopping | stpo | sotp | stp
        """),
        *_with(("shut", "power", "turn", "switch"), ("yourself off", "yourself down")),
        *_with(("stop", "halt", "freeze", "pause", "wait", "hold it", "abort", "quit"), _PLACES),
        *_with(("stop", "halt", "freeze", "pause", "abort", "quit", "stop with"), ("it", "that", "this", "them")),
        *_with(("stop", "stop all", "stop any", "halt all"), ("movement", "movements", "motion", "motors", "actions")),
        *_with(
            ("stop", "halt", "freeze", "pause", "abort", "shut down", "turn off", "switch off", "kill"),
            [f"{article} {thing}" for article in ("the", "this", "that", "your") for thing in _MACHINES],
        ),
        *_with(
            (
                "wait a",
                "wait one",
                "wait just a",
                "wait for a",
                "hold on a",
                "hold on one",
                "hold on for a",
                "hold on just a",
                "hang on a",
                "hang on one",
                "hang on for a",
                "hang on just a",
                "pause for a",
                "stop for a",
            ),
            _SOME_TIME,
        ),
        # Only what forbids everything, or what is done now: "don't take the red one" says which.
        *_with(
            ("dont", "do not", "dont you", "dont you dare", "dont you dare to"),
            _phrases("""
            move | go | go on | go there | go any further | go further | start | begin | continue | proceed | bother
            try | act | come closer | come any closer | come near me | get closer | reach | reach for it | pick
            grab | take | do | do it | do that | do this | do anything | do so | do any of that
            even think about it | even try | move it | move that | move me | move anything | move a muscle
            move an inch | move at all | move any more | move anymore | move any further | move the arm
            move the gripper | move the robot | move your arm | touch | touch it | touch that | touch this
            touch me | touch them | touch anything | take it | take that | take this | take them | take anything
            take any | take any of them | pick it | pick it up | pick that up | pick up | pick this up
            pick them up | pick anything up | pick up anything | grab it | grab that | grab this | grab them
            grab anything | touch either | touch either of them | touch any of them | take either
            take either of them | take both | touch both | grasp | grasp it | grasp that | grasp anything
            get it | get that | get them | lift it | lift that | lift
            push it | push | hit me | hit it | hurt me | hurt him | hurt her | try it | try that
            give it to me | hand it to me | bring it | bring it to me | bring that | bring anything | turn | drive
            """),
        ),
    ]
)

# The person wants this no longer: the dialogue or its target. What others asked for may go on.
DROP: FrozenSet[str] = frozenset([
    *_with(
        ("abandon the", "terminate the", "end the", "end this", "drop the"),
        ("task", "session", "conversation", "dialogue", "dialog", "search", "mission", "job", "request"),
    ),
    *_phrases("""
    never mind | nevermind | never mind it | never mind that | never mind this | nevermind it | nevermind that | nvm
    cancel | cancel it | cancel that | cancel this | cancel them | cancel please
    cancel my request | cancel the request | cancel the goal | cancel my order | cancel the order | forget it
    forget that | forget this | forget about it | forget about that | forget about this | forget i asked
    forget i said anything | forget everything | forget what i said | stop asking | stop asking me | skip it
    skip that | skip this | scratch that | scrap that | scrap it | drop it | leave it | leave it alone
    leave it there | leave it be | leave that | leave that alone | leave me alone | i changed my mind
    ive changed my mind | i have changed my mind | changed my mind | give up | give it up | i give up | undo
    undo that | undo it | i take it back | i take that back | no need | let it go | let it be | call it off
    cancel the task | cancel the mission | cancel the job | cancel the search | cancel the action
    stop asking questions | stop asking me questions
    i dont need it | i dont need it anymore | i dont need it any more | i dont want it anymore
    i dont want it any more | i dont want anything | i do not want anything
    i dont want it | i do not want it | dont want it | i no longer want it | i no longer need it | dont need it
    dont need it anymore | i dont want that anymore | no longer needed | not needed | not needed anymore
    no need to bother | dont bother with it | dont bother with that | forget the whole thing
    forget about the whole thing | cancel the whole thing | forget all about it | lets not | lets not do that
    leave them | leave them alone | leave them there | leave both | leave both alone | leave both of them
    leave all of them | leave everything | leave everything alone | take nothing | take neither | take neither of them
    take none | take none of them | put it back | put that back | put it away | take it back
    drop that | ditch it | bin it | abandon | abandon it | abandon that | disregard | disregard that | disregard it
    disregard what i said | disregard my request | ignore that | ignore it | ignore me | ignore what i said
    ignore my request | ignore my last request | belay that | belay that order | not right now | not today
    not this time | some other time | another time | maybe another time | maybe later | end task | end conversation
    """),
])  # fmt: skip

# "Don't stop" asks to go on: its words are no word of stopping, though both of them are.
GO_ON: FrozenSet[str] = frozenset(
    _with(
        ("dont", "do not", "dont you", "dont ever", "never", "do not ever"),
        ("stop", "halt", "freeze", "wait", "pause", "quit", "abort", "cancel", "give up", "hold on", "hang on", "hold",
         "worry", "leave it", "leave that", "forget it", "forget that", "stop it", "stop now", "stop there", "drop it",
         "terminate", "shut down", "turn off", "stop moving", "stop the robot"),
    )
)  # fmt: skip

# What may stand before, between and behind without a meaning of its own.
FILLERS: FrozenSet[str] = frozenset(
    """oh ok okay kay well please pls plz kindly no nope nah nay noo na actually sorry just hey hi hello yo oi ahem
    robot then now all right alright thanks thank you so ah aah ahh um uh uhm er erm hm hmm hmmm mm eh huh and but
    or yes yeah yep look listen already again immediately quick quickly fast asap ugh ouch ow oops argh ay ha god
    jesus christ gosh goodness damn dammit damnit shit fuck fucking hell crap bloody omg man dude buddy mate sir
    maam dear darling boy guys everybody everyone folks mister mr you computer machine seriously really what there here
    clue o s st sto w wa wai""".split()  # the last five: a stutter
)
FILLER_PHRASES: FrozenSet[str] = frozenset(
    _phrases("""
    right now | right away | right there | right here | at once | this instant | this second | this minute
    this moment | for a moment | for a second | for a minute | for now | for once | excuse me | as soon as possible
    as fast as you can | can you | could you | could everyone
    can everyone | could everybody | would you | will you | you can | you should | you must | you have to
    you need to | you better | youd better | you had better | make it | make the robot | tell it to
    tell the robot to | i want you to | i need you to | i would like you to | id like you to | i said | i say
    i told you | i told you to | i tell you | i am telling you | im telling you | i asked you to | i order you to
    i command you to | i beg you | im begging you | i am begging you | lets | let us | we should | we must
    we have to | we need to | why dont you | would you mind | if you please | for gods sake | for christs sake
    for heavens sake | for fucks sake | for the love of god | oh my god | my god | good lord | what the hell
    what the fuck | come on | what are you doing | what is this | whats this | whats that | what is that | what the
    watch out | look out | be careful | careful | i mean it | do you hear me | can you hear me | did you hear me
    are you listening | do you understand | if you can | if you would | hear me | thank you very much | thanks a lot
    can we | could we | shall we | should we | may we | can i | i want to | i wanna
    i would like to | id like to | i think | its better to | it is better to | we better
    its time to | it is time to | time to | i said to
    i beg you to | im asking you to | i am asking you to | im telling you to | i am telling you to | did i not say
    didnt i say | cant you | why wont you | why cant you | when will you | you may | when you can
    as soon as you can | if possible | in place | on the spot | this very second | this very moment
    this very instant | around there | slow down | calm down | listen to me | go back
    put it down | put that down
    let me think | let me see | let me check | i need a moment | i need a second | i need a minute | i need to think
    im not sure | i am not sure
    its ok | its okay | its fine | its alright | thats ok | thats okay | thats fine | or else | i made a mistake
    my mistake | my bad | wrong button | wrong robot | i need to | we need to | i wish to | on second thought
    on second thoughts | thank you so much | all of you | both of you | all of it | is what i said
    """)
)

# Nouns and others in -ing: "stop moving the arm" stops, a thing called "stop ring" does not.
NO_GERUNDS: FrozenSet[str] = frozenset(
    "thing string ring king spring wing sling bring earring sing swing sting something nothing bling ping fling".split()
)
GREETINGS: FrozenSet[str] = frozenset("hey hi hello ok okay yo oi dear mr mister mrs miss ms doctor dr".split())

# A single word before "stop" is somebody's name ("Anna stop"), unless it is one of these ("bus stop", "press stop").
NO_NAMES: FrozenSet[str] = frozenset(
    """a an the my your our his her its their this that these those one ones some any each every another other both at
    in on of by near to from with without for behind beside under over above below next between inside left right
    middle center centre front back top bottom big small large little tiny huge tall short long round square first
    second third last nearest closest red green blue yellow orange purple pink white black gray grey brown silver
    golden press push hit pull click tap find get give hand bring take pick grab pass show touch see want need say
    says saying read reads labeled labelled called named marked is are was were be not never when until till before
    after if because cant cannot wont could would should must may might did does do will bus door full truck rest
    pit non tram train whistle dead gap buffer end pedal taxi cab emergency red cold water short back f mouse organ
    glottal tea traffic street road deep brain quick anti hard wire doc""".split()
)

# At the end of a request they are part of it, or of an answer, and take nothing back: "the red one, stop asking".
NO_TAILS = ("stop asking", "stop asking me", "stop asking questions", "stop asking me questions", "no more")
# Before words of stopping at the end they turn from what was said: "the red one no stop".
TURNING = frozenset("no nope nah noo oh please ow ouch sorry actually".split())
# After them words of stopping are what is talked of or meant to be done: "the one that says stop stop", "and hold on".
TAKES_OBJECT = frozenset(
    """a an the i my your our his her its their and or then but of to with without on in at by for from near is are was
    be has have had says saying say said reads read labeled labelled called named marked word words press push hit click
    must can should could will not never dont until till when if""".split()
)
