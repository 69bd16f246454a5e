"""The 80 things of COCO, and the words that people use for each: synonyms, and kinds of it."""

from __future__ import annotations

from typing import Dict, Tuple

_PEOPLE = (
    "man, woman, boy, girl, child, kid, baby, toddler, infant, guy, gentleman, lady, adult, teenager, human, player, "
    "baseball player, tennis player, soccer player, athlete, skier, snowboarder, skateboarder, surfer, rider, cyclist, "
    "bicyclist, biker, motorcyclist, batter, catcher, umpire, referee, officer, policeman, policewoman, fireman, "
    "soldier, worker, chef, waiter, waitress, farmer, driver, passenger, pedestrian, spectator, tourist, student, "
    "teacher, bride, groom, mother, father, son, daughter, brother, sister, friend, crowd, family, audience, "
    "male, female, individual, someone, swimmer, runner, dancer, singer, businessman, customer, shopper, bystander"
)
_TABLE = {
    "person": _PEOPLE,
    "bicycle": "bike, cycle, mountain bike, push bike",
    "car": "automobile, sedan, taxi, cab, suv, minivan, hatchback, jeep, police car, station wagon",
    "motorcycle": "motorbike, motor bike, scooter, moped, dirt bike",
    "airplane": "plane, aeroplane, aircraft, jet, airliner, jetliner, jumbo jet, biplane",
    "bus": "coach, double decker, double decker bus, minibus, school bus",
    "train": "locomotive, tram, train car, subway, railcar, train engine, steam engine, streetcar",
    "truck": "lorry, pickup, pickup truck, fire truck, fire engine, tow truck, dump truck, semi, semi truck",
    "boat": "ship, canoe, kayak, sailboat, rowboat, ferry, yacht, raft, motorboat, fishing boat, gondola, vessel",
    "traffic light": "traffic signal, stoplight, stop light, street light, traffic lamp",
    "fire hydrant": "hydrant",
    "stop sign": "",
    "parking meter": "meter",
    "bench": "park bench",
    "bird": "duck, goose, swan, pigeon, seagull, gull, parrot, owl, eagle, hawk, chicken, hen, rooster, crow, sparrow, "
    "peacock, ostrich, flamingo, pelican, heron, turkey, penguin, parakeet",
    "cat": "kitten, kitty, tabby, feline",
    "dog": "puppy, pup, doggy, doggie, hound, poodle, terrier, retriever, labrador, dalmatian, bulldog, husky, canine",
    "horse": "pony, foal, mare, stallion, colt",
    "sheep": "lamb, ram, ewe",
    "cow": "bull, calf, ox, cattle, steer, bovine",
    "elephant": "",
    "bear": "polar bear, grizzly, grizzly bear, brown bear, black bear, bear cub",
    "zebra": "",
    "giraffe": "",
    "backpack": "rucksack, knapsack, back pack, book bag",
    "umbrella": "parasol",
    "handbag": "purse, hand bag, shoulder bag, tote, tote bag, bag",
    "tie": "necktie, bow tie, neck tie",
    "suitcase": "luggage, baggage, suit case, briefcase",
    "frisbee": "flying disc, flying disk, disc",
    "skis": "ski",
    "snowboard": "snow board",
    "sports ball": "ball, soccer ball, baseball, tennis ball, basketball, volleyball, football, rugby ball",
    "kite": "",
    "baseball bat": "bat",
    "baseball glove": "glove, mitt, baseball mitt, catcher mitt",
    "skateboard": "skate board, longboard",
    "surfboard": "surf board, longboard, boogie board, bodyboard",
    "tennis racket": "racket, racquet, tennis racquet",
    "bottle": "wine bottle, beer bottle, water bottle, flask",
    "wine glass": "glass, wineglass, goblet, champagne glass",
    "cup": "mug, teacup, tea cup, coffee cup, coffee mug, paper cup, tumbler, beaker, glass",
    "fork": "",
    "knife": "butter knife, steak knife, kitchen knife",
    "spoon": "teaspoon, tablespoon, soup spoon, ladle",
    "bowl": "salad bowl, soup bowl",
    "banana": "",
    "apple": "",
    "sandwich": "burger, hamburger, cheeseburger, sub, panini, toastie, wrap",
    "orange": "tangerine, clementine, mandarin, citrus",
    "broccoli": "",
    "carrot": "",
    "hot dog": "hotdog, corn dog, chili dog, sausage, frankfurter",
    "pizza": "pizza pie, pizza slice",
    "donut": "doughnut",
    "cake": "cupcake, birthday cake, wedding cake, cheesecake, gateau",
    "chair": "armchair, stool, seat, lawn chair, office chair, rocking chair, folding chair, high chair",
    "couch": "sofa, loveseat, settee, love seat",
    "potted plant": "plant, houseplant, house plant, flower pot, pot plant",
    "bed": "bunk bed, mattress, cot, crib",
    "dining table": "table, dinner table, kitchen table, desk, coffee table, picnic table, tabletop",
    "toilet": "urinal, toilet bowl, commode",
    "tv": "television, tv screen, monitor, flat screen, flat screen tv, screen",
    "laptop": "laptop computer, notebook computer, computer, macbook",
    "mouse": "computer mouse, wireless mouse",
    "remote": "remote control, tv remote, controller, game controller, wii remote, wiimote",
    "keyboard": "computer keyboard",
    "cell phone": "phone, cellphone, mobile phone, mobile, smartphone, smart phone, iphone, telephone",
    "microwave": "microwave oven",
    "oven": "stove, range, cooker, stovetop",
    "toaster": "toaster oven",
    "sink": "basin, washbasin, wash basin",
    "refrigerator": "fridge, freezer",
    "book": "textbook, novel, notebook, magazine, paperback",
    "clock": "clock face, alarm clock, wall clock",
    "vase": "flower vase",
    "scissors": "shears",
    "teddy bear": "stuffed bear, stuffed animal, teddy, plush, plush toy, stuffed toy, plush bear, toy bear",
    "hair drier": "hair dryer, hairdryer, blow dryer, blowdryer",
    "toothbrush": "tooth brush",
}
# What stands above a name, and so may be said of it.
_GENERAL = {
    "vehicle": "bicycle, car, motorcycle, airplane, bus, train, truck, boat",
    "animal": "bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe",
    "furniture": "chair, couch, bed, dining table, bench",
    "fruit": "banana, apple, orange",
    "vegetable": "broccoli, carrot",
    "food": "banana, apple, sandwich, orange, broccoli, carrot, hot dog, pizza, donut, cake",
    "utensil": "fork, knife, spoon",
    "appliance": "microwave, oven, toaster, sink, refrigerator",
    "toy": "teddy bear, kite, frisbee",
    "flower": "potted plant",
}


def _listed(text: str) -> Tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


COCO: Dict[str, Tuple[str, ...]] = {name: _listed(words) for name, words in _TABLE.items()}
GENERAL: Dict[str, Tuple[str, ...]] = {name: _listed(words) for name, words in _GENERAL.items()}
# Their last word alone names something else.
COMPOUNDS = (
    "hot dog",
    "clock tower",
    "corn dog",
    "chili dog",
    "teddy bear",
    "gummy bear",
    "sea lion",
    "sea horse",
    "guinea pig",
)
